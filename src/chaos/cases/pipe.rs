//! Pipes and datagrams: a message arrives whole, or not at all, and the other side sees the end.

use super::*;
use crate::Error;
use crate::ipc::codec;
use crate::pipe::{DatagramSender, Receiver, Sender, datagrams, pipe};

const SEES_END: Texts = ["the peer sees the end", "对方看到结尾"];
const GETS_IT: Texts = ["get it, see the end", "收到它，看到结尾"];
const IS_TOLD: Texts = ["the sender is told", "发送者得到通知"];

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::of(send, to_peer).before(IDLE, SEES_END, Undone).like_python("Pipe.idle"),
        Row::of(recv, from_peer).asleep(WAITING, IS_TOLD, Done).like_python("Pipe.waiting"),
        Row::of(send, to_peer)
            .within(["in send, a peer waits", "send 中，有等待者"], GETS_IT)
            .like_python("Pipe.in_send"),
        Row::of(send_long, long_to_peer)
            .within(["in send, 200 kB", "send 200 kB 中"], GETS_IT)
            .like_python("Pipe.in_send_long"),
        Row::of(recv, from_peer).hidden_within(["in recv", "recv 中"], IS_TOLD).like_python("Pipe.in_recv"),
    ]
}

pub(super) fn datagram_rows() -> Vec<Row> {
    vec![Row::of(send_datagram, among_senders).within(["in send", "send 中"], ["the others arrive", "其余消息都收到"])]
}

/// A message that the kernel accepts in many pieces.
fn long_message() -> Vec<u8> {
    (0..200_000).map(|index| (index % 251) as u8).collect()
}

fn send(mut sender: Sender<Item>) -> RoleResult {
    marked(|| sender.send(&item(7)))
}

fn send_long(mut sender: Sender<()>) -> RoleResult {
    let content = long_message();
    marked(|| sender.send_bytes(&content))
}

fn recv(mut receiver: Receiver<u64>) -> RoleResult {
    marked(|| receiver.recv())
}

/// The victim has the only sending end; a peer receives.
fn to_peer(kill: Kill<'_, Sender<Item>>) -> Result<Effect> {
    let (receiver, sender) = pipe()?;
    let recv = |mut from: Receiver<_>| Ok([from.recv_timeout(LONG), from.recv_timeout(LONG)]);
    let peer = Peer::asleep_in(receiver, recv)?;
    received(kill.alone(sender)?.back(&peer)?, item(7))
}

/// As [`to_peer`]; a message in many pieces may also end inside.
fn long_to_peer(kill: Kill<'_, Sender<()>>) -> Result<Effect> {
    let (receiver, sender) = pipe::<()>()?;
    let recv = |mut from: Receiver<_>| Ok([from.recv_bytes_timeout(LONG), from.recv_bytes_timeout(LONG)]);
    let peer = Peer::asleep_in(receiver, recv)?;
    match kill.alone(sender)?.back(&peer)? {
        [Err(Error::EndOfFileInsideMessage { .. }), _] => Ok(Undone),
        answers => received(answers, long_message()),
    }
}

/// Compares what a peer received, and what followed it, with the victim's message.
fn received<M: PartialEq>(answers: [crate::Result<Option<M>>; 2], sent: M) -> Result<Effect> {
    match answers {
        [Err(Error::EndOfFile), _] => Ok(Undone),
        [Ok(Some(message)), Err(Error::EndOfFile)] => demand(message == sent, Fault::Torn).map(|()| Done),
        [Ok(None), _] | [_, Ok(None)] => bail!(Fault::Hangs),
        [_, Ok(_)] => bail!(Fault::Twice),
        _ => bail!(Fault::Unusable),
    }
}

/// The victim has the only receiving end; a peer sends.
fn from_peer(kill: Kill<'_, Receiver<u64>>) -> Result<Effect> {
    let (receiver, mut sender) = pipe()?;
    let (seen, _) = kill.victim(receiver)?.kill_asleep(|| Ok(sender.send(&5)?))?;
    for _ in 0..2 {
        sender = seen.fresh(sender, |mut sender| {
            let is_told = matches!(sender.send(&6), Err(Error::BrokenPipe));
            demand(is_told, Fault::Lost).map(|()| sender)
        })?;
    }
    Ok(Done)
}

/// Sends a message.
fn send_datagram(sender: DatagramSender<Item>) -> RoleResult {
    // How many instructions it takes to get the memory for it depends on what lies in the heap. Afterwards the thread has
    // that memory.
    drop(codec::to_vec(&item(7))?);
    marked(|| sender.send(&item(7)))
}

/// The victim is one of several senders.
fn among_senders(kill: Kill<'_, DatagramSender<Item>>) -> Result<Effect> {
    let (sender, mut receiver) = datagrams()?;
    sender.send(&item(1))?;
    kill.alone(sender.clone())?;
    sender.send(&item(2))?;
    let mut numbers = Vec::new();
    while let Some(sent) = receiver.try_receive().map_err(|_| Fault::Torn)? {
        numbers.push(number(sent)?);
    }
    effect_of(&numbers, &[1, 2], &[1, 7, 2])
}

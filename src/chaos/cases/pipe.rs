//! Pipes and datagrams: a message arrives whole, or not at all, and the other side sees the end.

use std::time::Duration;

use crate::chaos::case::{Case, Effect, Fault, Observation, Row, demand};
use crate::chaos::i18n::{IDLE, Localized, WAITING, localized};
use crate::chaos::peer::Peer;
use crate::pipe::{DatagramReceiver, DatagramSender, Receiver, Sender, datagrams, pipe};
use crate::sys::trace::mark;
use crate::{Error, Result as IpcResult, RoleResult};

const SEES_END: Localized = localized("the peer sees the end", "对方看到结尾");
const GETS_IT: Localized = localized("get it, see the end", "收到它，看到结尾");
const IS_TOLD: Localized = localized("the sender is told", "发送者被告知");
const GO_ON: Localized = localized("the others arrive", "其他的都收到");
const LONG: Duration = Duration::from_secs(2);
const OPERATION: (Effect, Effect) = (Effect::Undone, Effect::Done);

pub(in crate::chaos) static ROWS: [Row; 6] = [
    Row::before::<Send>("Pipe", IDLE, SEES_END, Effect::Undone).like_python("Pipe.idle"),
    Row::asleep::<Receive>("Pipe", WAITING, IS_TOLD, Effect::Done).like_python("Pipe.waiting"),
    Row::within::<Send>("Pipe", localized("in send, a peer waits", "send 中，有人等"), GETS_IT, OPERATION)
        .like_python("Pipe.in_send"),
    Row::within::<SendLong>("Pipe", localized("in send, 200 kB", "send 200 kB 中"), GETS_IT, OPERATION)
        .like_python("Pipe.in_send_long"),
    Row::within::<Receive>("Pipe", localized("in recv", "recv 中"), IS_TOLD, (Effect::Done, Effect::Done))
        .like_python("Pipe.in_recv"),
    Row::within::<Datagram>("Datagrams", localized("in send", "send 中"), GO_ON, OPERATION),
];

/// What a peer receives: a message, and what follows it.
type Received<M> = [IpcResult<Option<M>>; 2];

/// Returns a message in which tearing is detectable.
fn item(number: u64) -> (u64, u64) {
    (number, !number)
}

/// The victim has the only sending end; a peer receives.
struct Send {
    sender: Option<Sender<(u64, u64)>>,
    peer: Peer<Received<(u64, u64)>>,
}

impl Case for Send {
    type Handles = Sender<(u64, u64)>;

    fn prepare() -> anyhow::Result<Self> {
        let (mut receiver, sender) = pipe()?;
        let peer = Peer::asleep_in(move || [receiver.recv_timeout(LONG), receiver.recv_timeout(LONG)])?;
        Ok(Send { sender: Some(sender), peer })
    }

    fn handles(&mut self) -> Self::Handles {
        self.sender.take().expect("given once")
    }

    fn run_victim(mut sender: Self::Handles) -> RoleResult {
        mark();
        sender.send(&item(7))?;
        mark();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        match observation.back(&mut self.peer)? {
            [Err(Error::EndOfFile), _] => Ok(Effect::Undone),
            [Ok(Some(message)), Err(Error::EndOfFile)] => {
                demand(message == item(7), Fault::Torn)?;
                Ok(Effect::Done)
            }
            [Ok(None), _] | [_, Ok(None)] => Err(Fault::Hangs),
            [_, Ok(_)] => Err(Fault::Twice),
            _ => Err(Fault::Unusable),
        }
    }
}

/// A message that the kernel accepts in many pieces.
struct SendLong {
    sender: Option<Sender<()>>,
    peer: Peer<Received<Vec<u8>>>,
}

const LENGTH: usize = 200_000;

fn content() -> Vec<u8> {
    (0..LENGTH).map(|index| (index % 251) as u8).collect()
}

impl Case for SendLong {
    type Handles = Sender<()>;

    fn prepare() -> anyhow::Result<Self> {
        let (mut receiver, sender) = pipe()?;
        let peer = Peer::asleep_in(move || [receiver.recv_bytes_timeout(LONG), receiver.recv_bytes_timeout(LONG)])?;
        Ok(SendLong { sender: Some(sender), peer })
    }

    fn handles(&mut self) -> Self::Handles {
        self.sender.take().expect("given once")
    }

    fn run_victim(mut sender: Self::Handles) -> RoleResult {
        let content = content();
        mark();
        sender.send_bytes(&content)?;
        mark();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        match observation.back(&mut self.peer)? {
            [Err(Error::EndOfFile | Error::EndOfFileInsideMessage { .. }), _] => Ok(Effect::Undone),
            [Ok(Some(message)), Err(Error::EndOfFile)] => {
                demand(message == content(), Fault::Torn)?;
                Ok(Effect::Done)
            }
            [Ok(None), _] | [_, Ok(None)] => Err(Fault::Hangs),
            [_, Ok(_)] => Err(Fault::Torn),
            _ => Err(Fault::Unusable),
        }
    }
}

/// The victim has the only receiving end; a peer sends.
struct Receive {
    receiver: Option<Receiver<u64>>,
    sender: Option<Sender<u64>>,
}

impl Case for Receive {
    type Handles = Receiver<u64>;

    fn prepare() -> anyhow::Result<Self> {
        let (receiver, sender) = pipe()?;
        Ok(Receive { receiver: Some(receiver), sender: Some(sender) })
    }

    fn handles(&mut self) -> Self::Handles {
        self.receiver.take().expect("given once")
    }

    fn run_victim(mut receiver: Self::Handles) -> RoleResult {
        mark();
        receiver.recv()?;
        mark();
        Ok(())
    }

    fn wake(&mut self) -> anyhow::Result<()> {
        Ok(self.sender.as_mut().expect("kept until the victim is dead").send(&5)?)
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        let mut sender = self.sender.take().ok_or(Fault::Unusable)?;
        for _ in 0..2 {
            let (back, sent) = observation.fresh(move || {
                let sent = sender.send(&6);
                (sender, sent)
            })?;
            demand(matches!(sent, Err(Error::BrokenPipe)), Fault::Lost)?;
            sender = back;
        }
        Ok(Effect::Done)
    }
}

/// The victim is one of several senders.
struct Datagram {
    sender: DatagramSender<(u64, u64)>,
    receiver: DatagramReceiver<(u64, u64)>,
}

impl Case for Datagram {
    type Handles = DatagramSender<(u64, u64)>;

    fn prepare() -> anyhow::Result<Self> {
        let (sender, receiver) = datagrams()?;
        sender.send(&item(1))?;
        Ok(Datagram { sender, receiver })
    }

    fn handles(&mut self) -> Self::Handles {
        self.sender.clone()
    }

    fn run_victim(sender: Self::Handles) -> RoleResult {
        mark();
        sender.send(&item(7))?;
        mark();
        Ok(())
    }

    fn check(&mut self, _: &mut Observation) -> Result<Effect, Fault> {
        self.sender.send(&item(2)).map_err(|_| Fault::Unusable)?;
        let mut received = Vec::new();
        while let Some((number, likeness)) = self.receiver.try_receive().map_err(|_| Fault::Torn)? {
            demand(likeness == !number, Fault::Torn)?;
            received.push(number);
        }
        match received[..] {
            [1, 2] => Ok(Effect::Undone),
            [1, 7, 2] => Ok(Effect::Done),
            [_, _, _, _, ..] => Err(Fault::Twice),
            _ => Err(Fault::Lost),
        }
    }
}

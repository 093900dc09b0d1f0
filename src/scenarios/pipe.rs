//! The pipe: a producer sends numbers, and a consumer receives them, and answers if the pipe is duplex.

use std::time::Duration;

use serde_json::Value;

use super::prelude::*;
use crate::Error;
use crate::pipe::{self, Connection};
use crate::report::Key;

/// The time between two messages, at speed 1.
const PAUSE: Duration = Duration::from_secs(1);

/// The options of a pipe.
#[derive(Debug, clap::Args)]
pub(crate) struct PipeArgs {
    /// Let the consumer answer through the same pipe
    #[arg(long)]
    duplex: bool,
    /// How many messages are sent
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = whole::<u64>(0..=1_000_000_000))]
    messages: u64,
}

/// The state of a pipe run.
pub(crate) struct Pipe {
    args: PipeArgs,
}

impl Scenario for Pipe {
    const NAME: &'static str = "pipe";
    const ABOUT: &'static str = "\
A producer sends numbers through a pipe, one way or both ways

The producer sends a number a second, the consumer receives them until the producer is gone: that is the end of the \
file. A one-way pipe has an end that can only receive; the consumer tries to send on it and is refused. With --duplex \
both ends can send and receive, and the consumer answers every number.

Examples:
  ipc-demo pipe                     one way
  ipc-demo pipe --duplex            both ways
  ipc-demo pipe --messages 3        three numbers";
    type Args = PipeArgs;
    const ROLES: &'static [RoleEntry] = &[RoleEntry::of::<Producer>(), RoleEntry::of::<Consumer>()];
    const FACTS: &'static [Parse] = &[AnyFact::parse::<PipeFact>];
    const CLAIM: [&'static str; 2] =
        ["every message arrives exactly once, in the order it was sent", "每条消息恰好到达一次，且保持发送顺序"];
    type Observer = Traffic;

    fn prepare(args: PipeArgs) -> anyhow::Result<Self> {
        Ok(Pipe { args })
    }

    fn workers(&self) -> Vec<String> {
        ["producer", "consumer"].map(str::to_owned).to_vec()
    }

    fn moments(&self) -> Vec<&'static str> {
        let others: &[_] = if self.args.duplex { &["reply_sent", "reply_received"] } else { &["send_refused"] };
        [&["message_sent", "message_received", "end_of_file"], others].concat()
    }

    fn things(&self) -> Vec<Thing> {
        let answers = self.args.duplex.then(|| Thing::new(ANSWERS, "", Shape::queue(None)));
        std::iter::once(Thing::new(PIPE, "", Shape::queue(None))).chain(answers).collect()
    }

    fn run(&mut self, runner: &mut Runner<'_>) -> anyhow::Result<()> {
        let PipeArgs { duplex, messages } = self.args;
        let (here, there) = if duplex {
            pipe::duplex()?
        } else {
            let (receiver, sender) = pipe::pipe::<u64>()?;
            (sender.into_connection(), receiver.into_connection())
        };
        // Handed over, not shared: an end that the runner kept open would keep the consumer from seeing the end.
        runner.spawn("producer", false, |ctx| Producer { ctx, end: here, messages, duplex })?;
        runner.spawn("consumer", false, |ctx| Consumer { ctx, end: there, duplex })?;
        runner.watch()
    }

    fn check(self, traffic: &Traffic, completion: &Completion) -> anyhow::Result<CheckResult> {
        let Traffic { sent, received, out_of_order, replies } = *traffic;
        // A message that arrived was sent, whether or not its sender survived to report it.
        let unreported = received.saturating_sub(sent);
        let sent = sent + unreported;
        let mut facts = vec![
            counter("sent", "发送", sent),
            counter("received", "收到", received),
            counter("in_order", "按顺序", !out_of_order),
        ];
        if self.args.duplex {
            facts.push(counter("replies", "回复", replies));
        }
        let all_replied = !self.args.duplex || replies == received;
        let producer_died = completion.died_as("producer") > 0;
        Ok(CheckResult {
            broken: out_of_order || unreported > completion.interrupted() as u64,
            finished: received == sent
                && completion.stopped.is_none()
                && completion.shows(received)
                && (producer_died || (sent == self.args.messages && all_replied)),
            guaranteed: true,
            allowance: (producer_died && sent < self.args.messages).then_some(Allowance::Unfinished),
            seen: self.seen(sent, traffic),
            facts,
            advice: None,
        })
    }
}

impl Pipe {
    /// Returns how the messages fared, of which `sent` were sent.
    fn seen(&self, sent: u64, traffic: &Traffic) -> [String; 2] {
        let Traffic { received, out_of_order, replies, .. } = *traffic;
        let [order, order_zh] = match out_of_order {
            _ if sent < 2 => Default::default(),
            false => [", in the order in which they were sent", "，顺序与发送时一致"],
            true => [", but not in the order in which they were sent", "，但顺序与发送时不一致"],
        };
        let [replies, replies_zh] = match self.args.duplex {
            true => {
                [format!(", and the producer {}", counted(replies, "answer")), format!("，生产者收到 {replies} 条回复")]
            }
            false => Default::default(),
        };
        let got_zh = of_all_zh(received, sent, "收到", "条");
        [
            format!("The consumer received {}{order}{replies}.", of_all(received, sent, "message")),
            format!("生产者发送 {sent} 条消息，消费者{got_zh}{order_zh}{replies_zh}。"),
        ]
    }
}

const PIPE: Noun = Noun::new("pipe", "管道");
/// The way back.
const ANSWERS: Noun = Noun::new("answers", "回复");

/// What the two ends of the pipe report.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum PipeFact {
    /// A message was sent through the pipe.
    MessageSent { value: Value },
    /// A message was received from it.
    MessageReceived { value: Value },
    /// An answer was sent back through the same pipe.
    ReplySent { value: Value },
    /// An answer came back.
    ReplyReceived { value: Value },
    /// A send on a receive-only end was refused.
    SendRefused { error: String },
    /// The last sender is gone: there will be no more messages.
    EndOfFile,
}

impl Fact for PipeFact {
    fn class(&self) -> Class<'_> {
        match self {
            Self::MessageSent { value } => Class::sends(Key::Message(value), value),
            Self::MessageReceived { value } => Class::receives(Key::Message(value), value, false),
            Self::ReplySent { value } => Class::sends(Key::Reply(value), value),
            Self::ReplyReceived { value } => Class::receives(Key::Reply(value), value, false),
            Self::SendRefused { .. } => Class::dot(Severity::Trouble, "无法发送"),
            Self::EndOfFile => Class { follows_death: true, ..Class::dot(Severity::Plain, "读到结尾") },
        }
    }

    fn sentence(&self, wording: &Wording<'_>) -> String {
        match self {
            Self::MessageSent { value } => say!(wording, "sends {value}", "发送数据{value}"),
            Self::MessageReceived { value } => say!(wording, "receives {value}", "收到数据{value}"),
            Self::ReplySent { value } => say!(wording, "answers {value}", "回复数据{value}"),
            Self::ReplyReceived { value } => say!(wording, "gets the answer {value}", "收到回复{value}"),
            Self::SendRefused { .. } => {
                say!(wording, "cannot send: this end can only receive", "无法发送：这一端只能接收")
            }
            Self::EndOfFile => say!(wording, "sees the end: every sending end is closed", "读到结尾：发送端已全部关闭"),
        }
    }
}

/// What went through the pipe.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    sent: u64,
    received: u64,
    out_of_order: bool,
    replies: u64,
}

impl Observer for Traffic {
    fn count(&mut self, event: &Event) {
        match event.get() {
            Some(PipeFact::MessageSent { .. }) => self.sent += 1,
            Some(PipeFact::MessageReceived { value }) => {
                self.received += 1;
                self.out_of_order |= value.as_u64() != Some(self.received);
            }
            Some(PipeFact::ReplyReceived { value }) => {
                self.replies += 1;
                self.out_of_order |= value.as_u64() != Some(self.replies);
            }
            _ => {}
        }
    }
}

/// Sends the numbers from 1.
#[derive(Serialize, Deserialize)]
struct Producer {
    ctx: WorkerContext,
    end: Connection,
    messages: u64,
    duplex: bool,
}

impl Role for Producer {
    const NAME: &'static str = "pipe.producer";

    fn run(self) -> RoleResult {
        let ctx = &self.ctx;
        let mut end = self.end;
        for number in 1..=self.messages {
            match end.send(&number) {
                // No receiver is left: the summary says what that leaves unshown.
                Err(Error::BrokenPipe | Error::ConnectionReset) => return Ok(()),
                sent => sent?,
            }
            ctx.emit(PipeFact::MessageSent { value: number.into() })?;
            if self.duplex {
                let reply: u64 = match end.recv() {
                    Err(Error::ConnectionReset | Error::EndOfFile) => return Ok(()),
                    reply => reply?,
                };
                ctx.emit(PipeFact::ReplyReceived { value: reply.into() })?;
            }
            if number < self.messages {
                ctx.pause(PAUSE);
            }
        }
        Ok(())
    }
}

/// Receives until no sender is left.
#[derive(Serialize, Deserialize)]
struct Consumer {
    ctx: WorkerContext,
    end: Connection,
    duplex: bool,
}

impl Role for Consumer {
    const NAME: &'static str = "pipe.consumer";

    fn run(self) -> RoleResult {
        let ctx = &self.ctx;
        let mut end = self.end;
        if !self.duplex {
            match end.send(&0_u64) {
                Err(error @ Error::ReadOnly) => ctx.emit(PipeFact::SendRefused { error: error.to_string() })?,
                other => return Err(format!("a send on the receiving end returned {other:?}").into()),
            }
        }
        loop {
            let number: u64 = match end.recv() {
                Ok(number) => number,
                Err(Error::EndOfFile) => return Ok(ctx.emit(PipeFact::EndOfFile)?),
                Err(error) => return Err(error.into()),
            };
            ctx.emit(PipeFact::MessageReceived { value: number.into() })?;
            if self.duplex {
                end.send(&number)?;
                ctx.emit(PipeFact::ReplySent { value: number.into() })?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;

    fn reported(numbers: &[u64]) -> Traffic {
        let mut traffic = Traffic { sent: 3, ..Traffic::default() };
        for number in numbers {
            let fact = PipeFact::MessageReceived { value: (*number).into() }.into();
            traffic.count(&Event { at_us: 0, worker: "consumer".to_owned(), pid: 1, fact });
        }
        traffic
    }

    fn verdict(traffic: &Traffic, completion: &Completion) -> Verdict {
        let pipe = Pipe { args: PipeArgs { duplex: false, messages: 3 } };
        pipe.check(traffic, completion).expect("a finding").verdict(completion)
    }

    #[test]
    fn the_claim_is_about_order_and_number() {
        let whole = Completion::default();
        assert_eq!(verdict(&reported(&[1, 2, 3]), &whole), Verdict::Held);
        for broken in [&[1, 3, 2][..], &[1, 1, 2], &[2, 3], &[1, 2], &[1, 2, 3, 4]] {
            assert_eq!(verdict(&reported(broken), &whole), Verdict::Violated, "{broken:?}");
        }
    }

    #[test]
    fn message_that_was_not_received_is_not_shown() {
        let (no_consumer, no_producer) = (Completion::deaths(&["consumer"]), Completion::deaths(&["producer"]));
        assert_eq!(verdict(&reported(&[1, 2]), &no_consumer), Verdict::NotShown);
        assert_eq!(verdict(&reported(&[1]), &Completion::cut()), Verdict::NotShown);
        assert_eq!(verdict(&reported(&[1, 2, 3]), &no_producer), Verdict::Held);
        assert_eq!(verdict(&reported(&[1, 2, 3, 4]), &no_producer), Verdict::Held, "it did not report its last one");
        assert_eq!(verdict(&reported(&[1, 2]), &no_producer), Verdict::NotShown);
        assert_eq!(verdict(&Traffic::default(), &no_producer), Verdict::NotShown, "nothing was sent");
        assert_eq!(verdict(&reported(&[1, 2, 3]), &no_consumer), Verdict::Held, "it had received them all");
        assert_eq!(verdict(&reported(&[2]), &no_consumer), Verdict::Violated, "order is never excused");
    }
}

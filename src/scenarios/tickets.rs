//! The ticket sale: buyers read, pause and write one data file, with and without a lock.
//!
//! The race is a real lost update in a file, without undefined behaviour. With the lock, a purchase is one critical
//! section, and its write is one step, so a buyer killed in the middle of it leaves the file intact.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use anyhow::Context;

use super::held::{self, Held, LockFact, buyer_number};
use super::prelude::*;
use super::ticket_file::{EXAMPLE, Stock, TicketFile};
use crate::Lock;
use crate::ipc::operation::{ObjectId, Operation, always, point};
use crate::process::Fd;

/// The lock's name in the events.
const LOCK: &str = "tickets";
/// How long a buyer thinks, at speed 1, between reading the file and writing it.
const THINKING_MS: RangeInclusive<u64> = 1_000..=2_000;

/// What a buyer does with the file, for an exploration.
const LOOK: Operation = Operation::read("file.look");
const READ: Operation = Operation::read("file.read");
const WRITE: Operation = Operation::change("file.write");

/// The data file, as a number that buyers read and write.
const FILE: Noun = Noun::new("ticket file", "余票文件");

/// The options of a sale.
#[derive(Debug, clap::Args)]
pub(crate) struct TicketsArgs {
    /// Make each purchase one critical section
    #[arg(long)]
    lock: bool,
    /// How many buyers want a ticket
    #[arg(long, visible_alias = "workers", value_name = "N", default_value_t = 10, value_parser = whole::<u32>(1..=1000))]
    buyers: u32,
    /// How many tickets there are at the start [default: what the data file says]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(0..=u32::MAX))]
    stock: Option<u32>,
    /// Sell from this JSON file, in place, instead of from a scratch copy of the built-in one
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
}

/// The state of a sale.
pub(crate) struct Tickets {
    buyers: u32,
    stock: u32,
    file: TicketFile,
    /// The file before the first sale.
    opening: Stock,
    lock: Option<Lock>,
}

impl Scenario for Tickets {
    const NAME: &'static str = "tickets";
    const ABOUT: &'static str = "\
Ten buyers, three tickets, one data file: with and without a lock

Every buyer checks how many tickets are left, then reads the file, thinks for a second or two, and writes it with one \
ticket less. Without a lock, they all read the same number, and the shop sells tickets that it does not have. With \
--lock, only one of them buys at a time.

Examples:
  ipc-demo tickets                      the shop oversells
  ipc-demo tickets --lock               one at a time
  ipc-demo tickets --lock --speed 10    the same, ten times faster";
    type Args = TicketsArgs;
    const ROLES: &'static [RoleEntry] = &[RoleEntry::of::<Buyer>()];
    const FACTS: &'static [Parse] = &[AnyFact::parse::<SaleFact>, AnyFact::parse::<LockFact>];
    const CLAIM: [&'static str; 2] =
        ["no ticket is sold twice, and no more are sold than there are", "每张票只卖一次，且不超卖"];
    const NEEDS: [&'static str; 2] = ["a lock", "未加锁，本来就无保证"];
    const NAMES: Names = &[("buyer", "购票者"), (LOCK, "锁")];
    type Observer = Sales;

    fn prepare(args: TicketsArgs) -> anyhow::Result<Self> {
        let TicketsArgs { lock, buyers, stock, data } = args;
        let open = if is_exploring() { TicketFile::open_shared } else { TicketFile::open };
        let file = data.as_deref().map_or_else(TicketFile::built_in, open)?;
        let of_file = || match &data {
            Some(path) => {
                format!("cannot sell from {} (--data takes a JSON object such as {EXAMPLE})", path.display())
            }
            None => "cannot sell from the built-in data file".to_owned(),
        };
        let opening = file.read().with_context(of_file)?;
        // Every schedule of an exploration sells the same tickets.
        let file = if is_exploring() { TicketFile::copy_of(&opening.text)? } else { file };
        let lock = lock.then(Lock::new).transpose()?;
        if let Some(stock) = stock {
            file.restock(&opening, stock).with_context(of_file)?;
        }
        Ok(Tickets { buyers, stock: stock.unwrap_or(opening.left), file, opening, lock })
    }

    fn workers(&self) -> Vec<String> {
        numbered("buyer", self.buyers)
    }

    fn moments(&self) -> Vec<&'static str> {
        let own = ["stock_checked", "ticket_bought", "ticket_refused", "data_torn"];
        match self.lock {
            None => own.to_vec(),
            Some(_) => {
                [&["waiting", "holding"], &own[..], &["lock_waiting", "lock_acquired", "lock_released"]].concat()
            }
        }
    }

    fn things(&self) -> Vec<Thing> {
        let file = Thing::new(FILE, "", Shape::number(self.stock.into(), ["read", "读到"]));
        let lock = self.lock.is_some().then(|| held::lock(LOCK).titled("lock", "锁"));
        std::iter::once(file).chain(lock).collect()
    }

    fn run(&mut self, runner: &mut Runner<'_>) -> anyhow::Result<()> {
        let file = self.file.as_fd().try_clone_to_owned().context("cannot share the data file")?;
        let file = Fd::from(file);
        let object = ObjectId::new();
        let shown = TicketFile::from_descriptor(file.clone().into_owned().context("cannot share the data file")?);
        runner.describe(object, move || {
            shown.read().map_or_else(|error| format!("{error:#}"), |stock| stock.text.trim().to_owned())
        });
        runner.spawn_each(self.workers(), |ctx| Buyer { ctx, file: file.clone(), object, lock: self.lock.clone() })?;
        runner.watch()
    }

    fn check(self, sales: &Sales, completion: &Completion) -> anyhow::Result<CheckResult> {
        let (left, readable) = match self.file.read() {
            Ok(tickets) => (tickets.left, true),
            // Two writers without a lock can leave the file permanently unreadable, so it is restored.
            Err(_) => {
                let left = sales.last_written.unwrap_or(self.stock);
                self.file.restock(&self.opening, left).context("cannot restore the data file")?;
                (left, false)
            }
        };
        let Sales { bought, refused, torn, .. } = *sales;
        let (stock, left) = (u64::from(self.stock), u64::from(left));
        let oversold = bought.saturating_sub(stock);
        let lost_updates = (bought + left).saturating_sub(stock);
        // A buyer that was killed between its write and its report has bought a ticket unnoticed.
        let unreported = stock.saturating_sub(bought + left);
        // Without the lock, a buyer that is ended in the middle of writing leaves half a file.
        let is_unreadable = !readable && (self.lock.is_some() || completion.is_regular());
        let broken = is_unreadable || oversold > 0 || lost_updates > 0 || unreported > completion.interrupted() as u64;
        Ok(CheckResult {
            broken,
            finished: completion.stopped.is_none() && !completion.all_died(),
            guaranteed: self.lock.is_some(),
            allowance: (unreported > 0).then_some(Allowance::Unreported),
            seen: self.seen(sales, left, readable),
            facts: vec![
                counter("stock", "票数", stock),
                counter("buyers", "购票者", self.buyers),
                counter("bought", "买到", bought),
                counter("refused", "没买到", refused),
                counter("left", "余票", left),
                counter("oversold", "超卖", oversold),
                counter("lost_updates", "丢失更新", lost_updates),
                counter("torn", "读到不完整数据", torn),
            ],
            advice: broken.then(|| sales.advice()),
        })
    }
}

impl Tickets {
    /// Returns what was sold, of which the file says that `left` are left, if it is readable.
    fn seen(&self, sales: &Sales, left: u64, readable: bool) -> [String; 2] {
        let Sales { bought, refused, .. } = *sales;
        let stock = u64::from(self.stock);
        let sold = counted(bought, "ticket");
        if !readable {
            let zh = format!("卖出 {bought} 张票，但数据文件只写了一半。");
            return [format!("The shop sold {sold}, and its data file was left half written."), zh];
        }
        if bought > stock {
            let zh = format!("只有 {stock} 张票，却卖出了 {bought} 张。");
            return [format!("The shop sold {sold}, but it had only {stock}."), zh];
        }
        if bought + left > stock {
            let gone = stock.saturating_sub(left);
            let zh = format!("卖出 {bought} 张票，数据文件里却只少了 {gone} 张。");
            return [format!("The shop sold {sold}, but its data file says {gone}."), zh];
        }
        let sold = of_all(bought, stock, "ticket");
        let sold_zh = of_all_zh(bought, stock, "卖出", "张");
        let [late, late_zh] = match refused {
            0 => Default::default(),
            _ => [format!("; {} came too late", counted(refused, "buyer")), format!("，{refused} 个购票者没买到")],
        };
        [format!("The shop sold {sold}{late}."), format!("{stock} 张票{sold_zh}{late_zh}。")]
    }
}

/// What buyers report.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum SaleFact {
    /// A buyer checked how many tickets are left.
    StockChecked { left: u32 },
    /// A buyer bought a ticket, and wrote how many are left.
    TicketBought { left: u32 },
    /// A buyer found no ticket left.
    TicketRefused { left: u32 },
    /// The data file was read while another worker was writing it.
    DataTorn { error: String },
}

impl Fact for SaleFact {
    fn class(&self) -> Class<'_> {
        match self {
            Self::StockChecked { .. } => Class::dot(Severity::Plain, "查询余票"),
            Self::TicketBought { .. } => Class::dot(Severity::Good, "购票成功"),
            Self::TicketRefused { .. } => Class::dot(Severity::Plain, "购票失败"),
            Self::DataTorn { .. } => Class::dot(Severity::Trouble, "读到写了一半的文件"),
        }
    }

    /// The number is what was written last; beside it, what each buyer that has not written yet has read.
    fn change(&self, worker: &str, things: &mut Things) {
        let Some((left, read)) = things.number(FILE) else { return };
        match self {
            Self::StockChecked { left } => _ = read.insert(worker.to_owned(), u64::from(*left)),
            Self::TicketBought { left: written } => {
                *left = u64::from(*written);
                read.remove(worker);
            }
            Self::TicketRefused { .. } | Self::DataTorn { .. } => _ = read.remove(worker),
        }
    }

    fn sentence(&self, wording: &Wording<'_>) -> String {
        let who = buyer_number(&wording.event.worker);
        let tickets = |left: u32| match left {
            0 => "no ticket left".to_owned(),
            1 => "1 ticket left".to_owned(),
            left => format!("{left} tickets left"),
        };
        match self {
            Self::StockChecked { left } => {
                say!(wording, "sees {tickets}", "{who}查询到余票{left}", tickets = tickets(*left))
            }
            Self::TicketBought { left } => {
                say!(wording, "buys a ticket and writes: {tickets}", "{who}购票成功", tickets = tickets(*left))
            }
            Self::TicketRefused { .. } => say!(wording, "gets no ticket: sold out", "{who}购票失败"),
            Self::DataTorn { error } => {
                // Of a file of one line, the line and column say little.
                let what = error.split_once(" at line ").map_or(error.as_str(), |(what, _)| what);
                say!(wording, "reads a half-written file: {what}", "{who}读到写了一半的文件")
            }
        }
    }
}

/// What the buyers reported.
#[derive(Debug, Default)]
pub(crate) struct Sales {
    bought: u64,
    refused: u64,
    torn: u64,
    last_written: Option<u32>,
    /// Whether a buyer read the number of tickets after another had bought one.
    is_read_after_write: bool,
}

impl Observer for Sales {
    fn count(&mut self, event: &Event) {
        match event.get() {
            Some(SaleFact::StockChecked { .. }) => self.is_read_after_write |= self.bought > 0,
            Some(SaleFact::TicketBought { left }) => {
                self.bought += 1;
                self.last_written = Some(*left);
            }
            Some(SaleFact::TicketRefused { .. }) => self.refused += 1,
            Some(SaleFact::DataTorn { .. }) => self.torn += 1,
            None => {}
        }
    }
}

impl Sales {
    /// Returns how to prevent overselling; the reason comes first only where it is true.
    fn advice(&self) -> [&'static str; 2] {
        if self.is_read_after_write {
            ["a lock prevents it: ipc-demo tickets --lock", "加锁即可避免：ipc-demo tickets --lock"]
        } else {
            [
                "all buyers read before anyone wrote; a lock prevents it: ipc-demo tickets --lock",
                "购票者都在写入前读取了余票；加锁即可避免：ipc-demo tickets --lock",
            ]
        }
    }
}

/// A buyer.
#[derive(Serialize, Deserialize)]
struct Buyer {
    ctx: WorkerContext,
    file: Fd,
    object: ObjectId,
    lock: Option<Lock>,
}

impl Role for Buyer {
    const NAME: &'static str = "tickets.buyer";

    fn run(self) -> RoleResult {
        let ctx = &self.ctx;
        let file = TicketFile::from_descriptor(self.file.clone().into_owned()?);
        // This check is not part of the purchase: its result may be outdated by then.
        point(LOOK, &self.object, always);
        match file.read() {
            Ok(stock) => ctx.emit(SaleFact::StockChecked { left: stock.left })?,
            Err(error) => ctx.emit(SaleFact::DataTorn { error: format!("{error:#}") })?,
        }
        match &self.lock {
            Some(lock) => {
                let held = Held::lock(lock, LOCK, ctx)?;
                self.buy(&file, TicketFile::commit)?;
                held.release()?;
            }
            None => self.buy(&file, TicketFile::rewrite)?,
        }
        Ok(())
    }
}

impl Buyer {
    /// Reads, thinks, and writes: if another buyer writes in between, a sale is lost.
    fn buy(&self, file: &TicketFile, write: fn(&TicketFile, &Stock, u32) -> std::io::Result<()>) -> anyhow::Result<()> {
        let ctx = &self.ctx;
        point(READ, &self.object, always);
        let stock = match file.read() {
            Ok(stock) => stock,
            Err(error) => return Ok(ctx.emit(SaleFact::DataTorn { error: format!("{error:#}") })?),
        };
        ctx.pause_random(&mut ctx.rng(), THINKING_MS);
        match stock.left.checked_sub(1) {
            Some(left) => {
                point(WRITE, &self.object, always);
                write(file, &stock, left).context("cannot write the data file")?;
                ctx.emit(SaleFact::TicketBought { left })?;
            }
            None => ctx.emit(SaleFact::TicketRefused { left: 0 })?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sale(stock: u32, lock: bool) -> Tickets {
        let args = TicketsArgs { lock, buyers: 10, stock: Some(stock), data: None };
        Tickets::prepare(args).expect("the built-in file")
    }

    #[test]
    fn overselling_breaks_the_claim() {
        let sales = Sales { bought: 10, ..Sales::default() };
        let result = sale(3, false).check(&sales, &Completion::default()).expect("a finding");
        assert!(result.broken && !result.guaranteed);
        assert_eq!(result.fact("oversold"), Some(&7.into()));
    }

    #[test]
    fn lost_updates_break_the_claim_even_if_there_were_tickets() {
        let sale = sale(20, true);
        sale.file.restock(&sale.opening, 19).expect("written");
        let result = sale.check(&Sales { bought: 2, ..Sales::default() }, &Completion::default()).expect("a finding");
        assert!(result.broken && result.guaranteed);
        assert_eq!(result.fact("lost_updates"), Some(&1.into()));
    }

    #[test]
    fn sale_that_a_killed_buyer_did_not_report_is_allowed_for() {
        let reported = Sales { bought: 1, ..Sales::default() };
        let after_two_sales = || {
            let sale = sale(3, true);
            sale.file.restock(&sale.opening, 1).expect("written");
            sale
        };
        let allowed = after_two_sales().check(&reported, &Completion::deaths(&["buyer-1"])).expect("a finding");
        assert!(!allowed.broken && allowed.finished && allowed.allowance == Some(Allowance::Unreported));
        assert!(after_two_sales().check(&reported, &Completion::default()).expect("a finding").broken);
    }

    #[test]
    fn unreadable_file_is_restored_with_the_last_number_written() {
        let sale = sale(3, false);
        let file = sale.file.as_fd().try_clone_to_owned().expect("a descriptor");
        std::fs::File::from(sale.file.as_fd().try_clone_to_owned().expect("a descriptor")).set_len(2).expect("cut");
        let result = sale
            .check(&Sales { bought: 1, last_written: Some(2), ..Sales::default() }, &Completion::default())
            .expect("a finding");
        assert!(result.broken);
        assert_eq!(TicketFile::from_descriptor(file).read().expect("restored").left, 2);
    }

    #[test]
    fn sentence_says_what_was_sold() {
        let said = |stock, bought, refused, left, readable| {
            sale(stock, false).seen(&Sales { bought, refused, ..Sales::default() }, left, readable)
        };
        for (said, en, zh) in [
            (said(3, 5, 0, 2, true), "The shop sold 5 tickets, but it had only 3.", "只有 3 张票，却卖出了 5 张。"),
            (
                said(20, 5, 0, 19, true),
                "The shop sold 5 tickets, but its data file says 1.",
                "卖出 5 张票，数据文件里却只少了 1 张。",
            ),
            (
                said(3, 3, 1, 0, true),
                "The shop sold all 3 tickets; 1 buyer came too late.",
                "3 张票全部卖出，1 个购票者没买到。",
            ),
            (said(3, 1, 0, 2, true), "The shop sold 1 of 3 tickets.", "3 张票卖出 1 张。"),
            (
                said(3, 1, 0, 2, false),
                "The shop sold 1 ticket, and its data file was left half written.",
                "卖出 1 张票，但数据文件只写了一半。",
            ),
        ] {
            assert_eq!(said, [en, zh]);
        }
    }

    #[test]
    fn reason_of_an_advice_is_given_only_where_it_is_true() {
        let advice = |facts: Vec<SaleFact>| {
            let mut sales = Sales::default();
            for fact in facts {
                sales.count(&Event { at_us: 0, worker: "buyer-1".to_owned(), pid: 1, fact: fact.into() });
            }
            sales.advice()[0]
        };
        let (read, wrote) = (|| SaleFact::StockChecked { left: 3 }, || SaleFact::TicketBought { left: 2 });
        assert!(advice(vec![read(), read(), wrote()]).starts_with("all buyers read before"));
        assert!(advice(vec![read(), wrote(), read()]).starts_with("a lock prevents it: ipc-demo"));
    }
}

//! `ipc-demo redis`: what there is on a server.

use std::fmt::Write;

use clap::{Args as _, Command};
use serde_json::json;

use crate::outcome::Failure;
use crate::redis::{self, Life, MemberInfo, QueueInfo, Server};
use crate::report::Format;
use crate::scenarios::{self, ServerArgs};

/// What the command is for; the first line alone is its short form.
const ABOUT: &str = "\
Show the queues on a Redis server, or delete one

The server is that of IPC_DEMO_REDIS, or of --transport. list also deletes the queues without a name whose processes are \
all dead: with kill -9 they had no time to do it.

Examples:
  ipc-demo redis list                            every queue
  ipc-demo redis show orders                     one queue, and who uses it
  ipc-demo redis delete orders                   with everything in it
  ipc-demo redis list --transport redis://db     another server";

/// What to do on which server.
#[derive(Debug, clap::Args)]
pub(crate) struct RedisArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    server: ServerArgs,
}

/// Describes the command: the options of the scenarios, for servers only.
pub(super) fn augmented(command: Command) -> Command {
    let command = scenarios::with_about(RedisArgs::augment_args(command), ABOUT).mut_args(|arg| arg.global(true));
    command.mut_arg("transport", |transport| {
        let help = "URL of the server, redis://[USER[:PASSWORD]@]HOST[:PORT][/DB], or redis for that in IPC_DEMO_REDIS";
        transport.value_name("URL").default_value("redis").help(help)
    })
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the queues
    List,
    /// Show one queue, and the processes that use it
    Show {
        /// The queue
        name: String,
    },
    /// Delete a queue with everything in it
    Delete {
        /// The queue
        name: String,
    },
}

/// Does it, and returns what is to be printed.
pub(super) fn run(args: &RedisArgs, format: Format) -> Result<String, Failure> {
    let server = args.server.server("--transport takes redis or").map_err(Failure::Unusable)?;
    performed(&args.action, &server, format).map_err(|error| Failure::of_preparing(error.into()))
}

fn performed(action: &Action, server: &Server, format: Format) -> crate::Result<String> {
    server.check()?;
    Ok(match action {
        Action::List => {
            redis::delete_unused(server, redis::UNUSED)?;
            redis::delete_abandoned(server)?;
            let queues = redis::list(server)?;
            match format {
                Format::Json => queues.iter().map(|queue| as_json(queue) + "\n").collect(),
                Format::Text if queues.is_empty() => format!("no queues on {server}\n"),
                Format::Text => queues.iter().map(|queue| in_a_line(queue) + "\n").collect(),
            }
        }
        Action::Show { name } => {
            let queue = redis::show(server, name)?;
            match format {
                Format::Json => as_json(&queue) + "\n",
                Format::Text => in_full(&queue),
            }
        }
        Action::Delete { name } => {
            redis::delete(server, name)?;
            match format {
                Format::Json => json!({ "deleted": name }).to_string() + "\n",
                Format::Text => format!("deleted {name}\n"),
            }
        }
    })
}

fn in_a_line(queue: &QueueInfo) -> String {
    let kind = if queue.is_joinable { "joinable" } else { "plain" };
    let own = if queue.is_temporary { ", without a name" } else { "" };
    let QueueInfo { name, queued, unfinished, dead_letters, members, .. } = queue;
    let alive = members.iter().filter(|member| is_alive(member)).count();
    let processes = if alive == 1 { "process" } else { "processes" };
    format!(
        "{name}: {kind}{own}, {queued} queued, {unfinished} unfinished, {dead_letters} dead letters, {alive} {processes}"
    )
}

fn in_full(queue: &QueueInfo) -> String {
    let mut text = in_a_line(queue) + "\n";
    let capacity = queue.capacity.map_or("unlimited".to_owned(), |items| format!("{items} items"));
    // Writing to a string does not fail.
    let _ = writeln!(text, "  capacity {capacity}, {} bytes", queue.bytes);
    for member in &queue.members {
        let does = does(member);
        let state = if is_alive(member) { "alive" } else { "dead" };
        let _ = writeln!(text, "  {}: {does}, {} leased, {state}", member.id, member.leases);
    }
    text
}

fn is_alive(member: &MemberInfo) -> bool {
    matches!(member.life, Life::Alive(_))
}

fn does(member: &MemberInfo) -> &'static str {
    match (member.puts, member.gets) {
        (true, true) => "puts and gets",
        (true, false) => "puts",
        (false, true) => "gets",
        (false, false) => "watches",
    }
}

fn as_json(queue: &QueueInfo) -> String {
    let members = queue.members.iter().map(|member| {
        json!({
            "id": member.id, "puts": member.puts, "gets": member.gets, "leases": member.leases,
            "alive": is_alive(member),
        })
    });
    json!({
        "name": queue.name, "joinable": queue.is_joinable, "temporary": queue.is_temporary,
        "capacity": queue.capacity, "queued": queue.queued, "unfinished": queue.unfinished,
        "dead_letters": queue.dead_letters, "bytes": queue.bytes, "members": members.collect::<Vec<_>>(),
    })
    .to_string()
}

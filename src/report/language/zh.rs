//! 中文：参考程序里有的话一字不差，没有的话用同样的口气。
//!
//! Chinese: the lines of the reference programs verbatim, and the rest in the same style.

use super::literal::{Notation, called, literal};
use super::zh_duration as duration;
use crate::report::event::{Allowance, Event, Fact, Link, Reason, Verdict};
use crate::report::known::Known;

pub(super) fn sentence(known: &Known, event: &Event) -> String {
    let scenario = known.scenario.as_str();
    // The reference program of the ticket sale begins every line with the buyer's number.
    let who = if scenario == "tickets" { number(&event.worker) } else { "" };
    let is_queue = matches!(scenario, "queue" | "manager");
    match &event.fact {
        Fact::RunStarted { scenario, seed, speed, .. } => {
            let speed = speed.as_str().map_or_else(|| speed.to_string(), str::to_owned);
            format!("{scenario}  ·  随机种子 {seed}  ·  速度 {speed}")
        }
        Fact::WorkerStarted { daemon: true, .. } => format!("启动，进程号 {}，守护进程", event.pid),
        Fact::WorkerStarted { daemon: false, .. } => format!("启动，进程号 {}", event.pid),
        Fact::WorkerExited { failure: Some(failure), .. } => failed(failure, &event.worker),
        Fact::WorkerExited { signal: Some(9), .. } => "被杀死（信号 9）".to_owned(),
        Fact::WorkerExited { signal: Some(15), .. } => "被停止".to_owned(),
        Fact::WorkerExited { signal: Some(signal), .. } => format!("被信号 {signal} 结束"),
        Fact::WorkerExited { exit_code: Some(0) | None, .. } => "结束".to_owned(),
        Fact::WorkerExited { exit_code: Some(code), .. } => format!("结束，退出码 {code}"),
        Fact::StockChecked { left } => format!("{who}查询到余票{left}"),
        Fact::TicketBought { .. } => format!("{who}购票成功"),
        Fact::TicketRefused { .. } => format!("{who}购票失败"),
        Fact::DataTorn { .. } => format!("{who}读到写了一半的文件"),
        Fact::LockWaiting { lock } => format!("{who}等待{}", name(lock)),
        Fact::LockAcquired { lock, abandoned: true, .. } => {
            let former = known.former_holder(lock).map_or_else(|| "持有者".to_owned(), name);
            format!("{who}接管{}：{former}已终止", name(lock))
        }
        Fact::LockAcquired { lock, waited_us, .. } => format!("{who}获得{}（{}）", name(lock), waited(*waited_us)),
        Fact::LockReleased { lock, held_us } => format!("{who}释放{}（持有 {}）", name(lock), duration(*held_us)),
        Fact::MessageSent { value } => format!("发送数据{value}"),
        Fact::MessageReceived { value } => format!("收到数据{value}"),
        Fact::ReplySent { value } => format!("回复数据{value}"),
        Fact::ReplyReceived { value } => format!("收到回复{value}"),
        Fact::SendRefused { .. } => "无法发送：这一端只能接收".to_owned(),
        Fact::EndOfFile if scenario == "condition" => "读到结尾：已没有生产者".to_owned(),
        Fact::EndOfFile => "读到结尾：已没有发送者".to_owned(),
        // The two reference programs of the queue call the same thing by different names.
        Fact::ItemPut { value, size, .. } if is_queue => format!("入队数据: {value}{}", queued(known, *size)),
        Fact::ItemPut { value, size, .. } => format!("生产者产生数据: {value}{}", queued(known, *size)),
        Fact::ItemGot { value, size, redelivered, .. } => {
            let got = if is_queue { "出队数据" } else { "消费者获取数据: " };
            let again = if *redelivered { "，由已终止的消费者留下" } else { "" };
            format!("{got}{value}{}{again}", queued(known, *size))
        }
        Fact::TaskDone { value, .. } => format!("处理完数据: {value}"),
        Fact::QueueFull { timeout_us: 0 } => format!("{}已满", store(known)),
        Fact::QueueFull { timeout_us } => format!("{}一直已满，等待 {}", store(known), duration(*timeout_us)),
        Fact::QueueEmpty => "队列为空".to_owned(),
        Fact::QueueJoined { tasks } => format!("队列阻塞解除：{tasks} 个任务全部处理完"),
        Fact::LockTimedOut { lock, waited_us } => format!("等待{}超时，放弃（{}）", name(lock), waited(*waited_us)),
        Fact::DeadlockFound { cycle } => format!("发现死锁：{} 个进程互相等待", cycle.len()),
        Fact::PermitWaiting { semaphore } if semaphore == "car park" => "等待车位".to_owned(),
        Fact::PermitWaiting { .. } => "等待许可".to_owned(),
        Fact::PermitAcquired { semaphore, waited_us } => {
            let has = if semaphore == "car park" { "停进车位" } else { "获得许可" };
            format!("{has}（{}）", waited(*waited_us))
        }
        Fact::PermitReleased { semaphore, held_us } if semaphore == "car park" => {
            format!("离开车位（停了 {}）", duration(*held_us))
        }
        Fact::PermitReleased { held_us, .. } => format!("释放许可（持有 {}）", duration(*held_us)),
        Fact::GunAwaited => "各就各位".to_owned(),
        Fact::GunFired => "发令枪响".to_owned(),
        Fact::GunHeard { waited_us } => format!("起跑（{}）", waited(*waited_us)),
        Fact::LineCrossed { ran_us } => format!("到达终点（跑了 {}）", duration(*ran_us)),
        Fact::BarrierWaiting { round } => format!("完成第{round}轮，等待其他进程"),
        Fact::BarrierPassed { round, waited_us } => format!("通过第{round}轮屏障（{}）", waited(*waited_us)),
        Fact::BarrierBroken { dead_pid: Some(pid), .. } => match known.name_of(*pid) {
            Some(dead) => format!("发现屏障已损坏：{}已终止", name(dead)),
            None => format!("发现屏障已损坏：进程 {pid} 已终止"),
        },
        Fact::BarrierBroken { cause, .. } => format!("发现屏障已损坏：{}", breach(cause)),
        Fact::ConditionWaiting { condition } if condition == "not full" => "缓冲区已满，等待".to_owned(),
        Fact::ConditionWaiting { .. } => "缓冲区为空，等待".to_owned(),
        Fact::ConditionMet { condition, waited_us } => {
            let now = if condition == "not full" { "未满" } else { "非空" };
            format!("缓冲区{now}，继续（{}）", waited(*waited_us))
        }
        Fact::IncrementsMade { made, seen } => format!("已加{made}次，计数器为{seen}"),
        Fact::ManagerStarted { manager_pid, addresses } => match addresses.as_slice() {
            [] => format!("启动服务进程，进程号 {manager_pid}"),
            addresses => format!("作为服务进程，地址 {}", addresses.join("、")),
        },
        Fact::ManagerConnected { address } => format!("连接到服务进程 {address}"),
        Fact::KeyExposed { file } => format!("警告：其他用户可以读取 {file}"),
        Fact::ObjectMade { object, name: None } => format!("生成服务：{object}"),
        Fact::ObjectMade { object, name: Some(name) } => format!("使用名为“{name}”的 {object}"),
        // The reference program prints its dict, and nothing else.
        Fact::ObjectShown { object, value } if object == "dict" => literal(value, Notation::Python),
        Fact::ObjectShown { object, value } => format!("{object}: {}", literal(value, Notation::Python)),
        Fact::ObjectCalled { object, method, args, answer } => {
            let answer = answer.as_ref().map(|answer| format!("，得到 {}", literal(answer, Notation::Python)));
            format!("调用 {}{}", called(object, method, args, Notation::Python), answer.unwrap_or_default())
        }
        Fact::EventAwaited => "等待事件".to_owned(),
        Fact::EventSet => "触发事件".to_owned(),
        Fact::EventSeen { waited_us } => format!("事件已触发，继续（{}）", waited(*waited_us)),
        Fact::Summary { .. } => String::new(),
    }
}

/// Returns why a barrier broke.
fn breach(cause: &str) -> &str {
    match cause {
        "a party died" => "有参与者已终止",
        "a party timed out" => "有参与者等待超时",
        "it was aborted" => "被中止",
        "its action panicked" => "动作出错",
        "it was reset" => "被重置",
        other => other,
    }
}

pub(super) fn link(link: &Link) -> String {
    let [worker, holds, waits_for, held_by] =
        [&link.worker, &link.holds, &link.waits_for, &link.held_by].map(|called| name(called));
    format!("{worker}持有{holds}，等待{held_by}持有的{waits_for}")
}

pub(super) fn more_links(count: usize) -> String {
    format!("另有 {count} 个")
}

/// A worker's own words about its failure; what is the same in every one of them in Chinese.
fn failed(failure: &str, worker: &str) -> String {
    let said = failure.strip_prefix("worker ").and_then(|said| said.strip_prefix(worker)).unwrap_or(failure);
    let (what, message) =
        [(" failed: ", "出错："), (" panicked: ", "崩溃："), (" could not start its role: ", "无法启动：")]
            .into_iter()
            .find_map(|(verb, what)| Some((what, said.strip_prefix(verb)?)))
            .unwrap_or(("出错：", failure));
    let message = match message {
        "nobody is left at the other end" => "另一端已没有进程",
        "nobody is left to receive" => "已没有接收者",
        "the other end is closed" => "另一端已关闭",
        "the connection is read-only" => "这一端只能接收",
        "the connection is write-only" => "这一端只能发送",
        "the queue is full" => "队列已满",
        other => other,
    };
    format!("{what}{message}")
}

fn queued(known: &Known, size: Option<u64>) -> String {
    size.map(|size| format!("（{}中 {size} 个）", store(known))).unwrap_or_default()
}

/// What holds the items of this scenario.
fn store(known: &Known) -> &'static str {
    if known.scenario == "condition" { "缓冲区" } else { "队列" }
}

fn waited(us: u64) -> String {
    match us {
        0 => "无需等待".to_owned(),
        us => format!("等待 {}", duration(us)),
    }
}

/// Returns the number in a worker's name: the reference programs name their buyers by number alone.
fn number(worker: &str) -> &str {
    worker.rsplit_once('-').map_or(worker, |(_, number)| number)
}

pub(super) fn name(worker: &str) -> String {
    let (role, number) = worker.rsplit_once('-').map_or((worker, ""), |(role, number)| (role, number));
    let role = match role {
        "runner" => "主进程",
        "manager" => "服务进程",
        "buyer" => "购票者",
        "producer" => "生产者",
        "consumer" => "消费者",
        "worker" => "工作进程",
        "filler" => "填充者",
        "car" => "汽车",
        "racer" => "选手",
        "lock" | "tickets" => "锁",
        "rlock" => "可重入锁",
        "car park" => "车位",
        "semaphore" => "信号量",
        "bounded semaphore" => "有界信号量",
        "not full" => "未满",
        "not empty" => "非空",
        other => other,
    };
    format!("{role}{number}")
}

pub(super) fn claim<'a>(scenario: &str, claim: &'a str) -> &'a str {
    match scenario {
        "tickets" => "每张票只卖一次，且不超卖",
        "pipe" => "每条消息恰好到达一次，且保持发送顺序",
        "queue" => "每个数据恰好到达一次，且保持放入顺序",
        "prodcons" => "每个数据恰好到达一次，且同一生产者的数据保持顺序",
        "joinable" => "每个任务恰好处理一次，且不丢失",
        "semaphore" => "每辆车都能停入，且同时停放的车辆不超过车位数",
        "event" => "枪响之前无人起跑，枪响之后全部起跑",
        "deadlock" => "不会出现循环等待（死锁）",
        "barrier" => "上一轮全部完成之前，下一轮不会开始",
        "condition" => "每个数据恰好取出一次，且同一生产者的数据保持顺序",
        "values" => "没有更新丢失",
        "manager" if claim.contains("socket") => "服务进程不留下套接字文件",
        "manager" => "没有调用丢失，也没有进程提前继续",
        _ => claim,
    }
}

pub(super) fn verdict(verdict: Verdict, guaranteed: bool, reason: Option<Reason>) -> &'static str {
    match (verdict, guaranteed) {
        (Verdict::Held, true) => "成立（有保证）",
        (Verdict::Held, false) => "成立（只是运气好）",
        (Verdict::Violated, true) => "不成立（保证被打破）",
        (Verdict::Violated, false) => "不成立（本来就没有保证）",
        (Verdict::NotShown, _) if reason == Some(Reason::Cut) => "无法判断（运行被提前停止）",
        (Verdict::NotShown, _) if reason == Some(Reason::Killed) => "无法判断（没有进程能完成它）",
        (Verdict::NotShown, _) => "无法判断（有进程出错）",
    }
}

pub(super) fn allowance(allowance: Allowance, is_stopped: bool) -> &'static str {
    match (allowance, is_stopped) {
        (Allowance::Lost, false) => "有进程被杀死，仅由它持有的数据已丢失；结论只针对其余进程",
        (Allowance::Unreported, false) => "有进程在报告最后一步之前被杀死；结论只针对其余进程",
        (Allowance::Unfinished, false) => "有进程未完成就被杀死；结论只针对其余进程",
        (Allowance::Lost, true) => "进程被停止，仅由它们持有的数据已丢失",
        (Allowance::Unreported, true) => "进程在报告最后一步之前被停止",
        (Allowance::Unfinished, true) => "进程未完成就被停止",
    }
}

pub(super) fn fact(name: &str) -> String {
    match name {
        "stock" => "票数",
        "buyers" => "购票者",
        "bought" => "买到",
        "refused" => "没买到",
        "left" => "余票",
        "oversold" => "超卖",
        "lost_updates" => "丢失更新",
        "torn" => "读到不完整数据",
        "sent" => "发送",
        "received" => "收到",
        "replies" => "回复",
        "in_order" => "按顺序",
        "produced" => "生产",
        "consumed" => "消费",
        "lost" => "丢失",
        "duplicated" => "重复",
        "still_queued" => "仍在队列中",
        "tasks_done" => "已处理",
        "permits" => "车位",
        "workers" => "进程",
        "entered" => "已停车",
        "most_inside" => "最多同时停放",
        "racers" => "选手",
        "started" => "起跑",
        "finished" => "完成",
        "false_starts" => "抢跑",
        "deadlocks" => "死锁",
        "found" => "发现",
        "timeouts" => "超时",
        "parties" => "参与者",
        "rounds" => "轮数",
        "completed" => "完成轮数",
        "too_early" => "提前继续",
        "broken" => "损坏",
        "capacity" => "容量",
        "most_queued" => "最多同时排队",
        "expected" => "预期",
        "actual" => "实际",
        "types" => "类型",
        "steps" => "步骤",
        "arrived" => "到达",
        "out_of_turn" => "提前继续",
        "manager_gone" => "服务进程已终止",
        "clients" => "客户端",
        "connected" => "仍连接",
        "objects" => "对象",
        "names" => "已命名",
        "requests" => "请求",
        "turned_away" => "拒绝",
        "socket_left" => "留下套接字",
        "in_array" => "数组中",
        "lost_in_array" => "数组丢失",
        other => other,
    }
    .to_owned()
}

pub(super) fn event(name: &str) -> String {
    match name {
        "stock_checked" => "查询余票",
        "ticket_bought" => "购票成功",
        "ticket_refused" => "购票失败",
        "data_torn" => "读到写了一半的文件",
        "send_refused" => "无法发送",
        "end_of_file" => "读到结尾",
        "queue_full" => "队列已满",
        "queue_empty" => "队列为空",
        "queue_joined" => "队列阻塞解除",
        "lock_timed_out" => "等待锁超时",
        "deadlock_found" => "发现死锁",
        "gun_fired" => "发令枪响",
        "line_crossed" => "到达终点",
        "barrier_broken" => "屏障损坏",
        "increments_made" => "加数",
        "address_exposed" => "地址可被窃听",
        "key_exposed" => "密钥可被读取",
        "event_set" => "触发事件",
        "object_made" => "生成服务",
        "object_shown" => "查看",
        "object_called" => "调用",
        "manager_started" => "启动服务进程",
        "manager_connected" => "连接到服务进程",
        other => other,
    }
    .replace('_', " ")
}

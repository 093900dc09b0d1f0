//! 中文：参考程序里有的话一字不差，没有的话用同样的口气。
//!
//! Chinese: the lines of the reference programs verbatim, and the rest in the same style.

use super::duration;
use super::literal::{Notation, called, literal};
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
        Fact::WorkerExited { failure: Some(failure), .. } => format!("出错：{failure}"),
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
            format!("{who}接过{}：{former}已死", name(lock))
        }
        Fact::LockAcquired { lock, waited_us, .. } => format!("{who}拿到{}（{}）", name(lock), waited(*waited_us)),
        Fact::LockReleased { lock, held_us } => format!("{who}放开{}（持有 {}）", name(lock), duration(*held_us)),
        Fact::MessageSent { value } => format!("发送数据{value}"),
        Fact::MessageReceived { value } => format!("收到数据{value}"),
        Fact::ReplySent { value } => format!("回复数据{value}"),
        Fact::ReplyReceived { value } => format!("收到回复{value}"),
        Fact::SendRefused { .. } => "不能发送：这一端只能接收".to_owned(),
        Fact::EndOfFile => "读到结尾：没有人再发送了".to_owned(),
        // The two reference programs of the queue call the same thing by different names.
        Fact::ItemPut { value, size, .. } if is_queue => format!("入队数据: {value}{}", in_queue(*size)),
        Fact::ItemPut { value, size, .. } => format!("生产者产生数据: {value}{}", in_queue(*size)),
        Fact::ItemGot { value, size, redelivered, .. } => {
            let got = if is_queue { "出队数据" } else { "消费者获取数据: " };
            let again = if *redelivered { "，死去的消费者留下的" } else { "" };
            format!("{got}{value}{}{again}", in_queue(*size))
        }
        Fact::TaskDone { value, .. } => format!("处理完数据: {value}"),
        Fact::QueueFull { timeout_us: 0 } => "队列已满".to_owned(),
        Fact::QueueFull { timeout_us } => format!("队列一直是满的，等了 {}", duration(*timeout_us)),
        Fact::QueueEmpty => "队列已空".to_owned(),
        Fact::QueueJoined { tasks } => format!("队列阻塞解除：{tasks} 个任务全部处理完"),
        Fact::LockTimedOut { lock, waited_us } => format!("不再等{}（{}）", name(lock), waited(*waited_us)),
        Fact::DeadlockFound { cycle } => format!("发现死锁：{} 个进程互相等待", cycle.len()),
        Fact::PermitWaiting { semaphore } if semaphore == "car park" => "等待车位".to_owned(),
        Fact::PermitWaiting { .. } => "等待许可".to_owned(),
        Fact::PermitAcquired { semaphore, waited_us } => {
            let has = if semaphore == "car park" { "停进车位" } else { "拿到许可" };
            format!("{has}（{}）", waited(*waited_us))
        }
        Fact::PermitReleased { semaphore, held_us } if semaphore == "car park" => {
            format!("离开车位（停了 {}）", duration(*held_us))
        }
        Fact::PermitReleased { held_us, .. } => format!("归还许可（持有 {}）", duration(*held_us)),
        Fact::GunAwaited => "各就各位".to_owned(),
        Fact::GunFired => "发令枪响".to_owned(),
        Fact::GunHeard { waited_us } => format!("起跑（{}）", waited(*waited_us)),
        Fact::LineCrossed { ran_us } => format!("到达终点（跑了 {}）", duration(*ran_us)),
        Fact::BarrierWaiting { round } => format!("第{round}轮做完，等待大家"),
        Fact::BarrierPassed { round, waited_us } => format!("离开第{round}轮（{}）", waited(*waited_us)),
        Fact::BarrierBroken { dead_pid: Some(pid), .. } => match known.name_of(*pid) {
            Some(dead) => format!("发现屏障已破裂：{}死亡", name(dead)),
            None => format!("发现屏障已破裂：进程 {pid} 死亡"),
        },
        Fact::BarrierBroken { cause, .. } => format!("发现屏障已破裂：{}", breach(cause)),
        Fact::ConditionWaiting { condition } if condition == "not full" => "缓冲区已满，等待".to_owned(),
        Fact::ConditionWaiting { .. } => "缓冲区已空，等待".to_owned(),
        Fact::ConditionMet { condition, waited_us } => {
            let now = if condition == "not full" { "未满" } else { "非空" };
            format!("缓冲区{now}，继续（{}）", waited(*waited_us))
        }
        Fact::IncrementsMade { made, seen } => format!("加了{made}次，看到{seen}"),
        Fact::ManagerStarted { manager_pid, addresses } => match addresses.as_slice() {
            [] => format!("启动服务进程，进程号 {manager_pid}"),
            addresses => format!("作为服务进程，地址 {}", addresses.join("、")),
        },
        Fact::ManagerConnected { address } => format!("连接到服务进程 {address}"),
        Fact::KeyExposed { file } => format!("警告：其他用户能读 {file}"),
        Fact::ObjectMade { object, name: None } => format!("生成服务：{object}"),
        Fact::ObjectMade { object, name: Some(name) } => format!("使用名为 \"{name}\" 的 {object}"),
        // The reference program prints its dict, and nothing else.
        Fact::ObjectShown { object, value } if object == "dict" => literal(value, Notation::Python),
        Fact::ObjectShown { object, value } => format!("{object}: {}", literal(value, Notation::Python)),
        Fact::ObjectCalled { object, method, args, answer } => {
            let answer = answer.as_ref().map(|answer| format!("，得到 {}", literal(answer, Notation::Python)));
            format!("调用 {}{}", called(object, method, args, Notation::Python), answer.unwrap_or_default())
        }
        Fact::EventAwaited => "等待事件".to_owned(),
        Fact::EventSet => "触发事件".to_owned(),
        Fact::EventSeen { waited_us } => format!("看到事件（{}）", waited(*waited_us)),
        Fact::Summary { .. } => String::new(),
    }
}

/// Returns why a barrier broke.
fn breach(cause: &str) -> &str {
    match cause {
        "a party died" => "有参与者死亡",
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
    format!("{worker}拿着{holds}，等着{held_by}手里的{waits_for}")
}

pub(super) fn more_links(count: usize) -> String {
    format!("等等，还有 {count} 个")
}

fn in_queue(size: Option<u64>) -> String {
    size.map(|size| format!("（队列中 {size} 个）")).unwrap_or_default()
}

fn waited(us: u64) -> String {
    match us {
        0 => "没等".to_owned(),
        us => format!("等了 {}", duration(us)),
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
        "semaphore" => "每辆车都能停进来，且同时在场的不超过车位数",
        "event" => "枪响之前没有人起跑，枪响之后人人起跑",
        "deadlock" => "不会出现循环等待（死锁）",
        "barrier" => "上一轮没有全部做完，下一轮不会开始",
        "condition" => "每个数据恰好取出一次，且同一生产者的数据保持顺序",
        "values" => "没有更新丢失",
        "manager" if claim.contains("socket") => "服务进程不留下套接字文件",
        "manager" => "没有调用丢失，也没有进程抢先",
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
        (Verdict::NotShown, _) => "无法判断（有进程出错）",
    }
}

pub(super) fn allowance(allowance: Allowance, is_stopped: bool) -> &'static str {
    match (allowance, is_stopped) {
        (Allowance::Lost, false) => "有进程被杀死，仅由它持有的数据已丢失，结论只针对其余进程",
        (Allowance::Unreported, false) => "有进程被杀死，没来得及报告最后一步，结论只针对其余进程",
        (Allowance::Unfinished, false) => "有进程没有做完就被杀死，结论只针对其余进程",
        (Allowance::Lost, true) => "进程被停止，仅由它们持有的数据已丢失",
        (Allowance::Unreported, true) => "进程被停止，没来得及报告最后一步",
        (Allowance::Unfinished, true) => "进程没有做完就被停止",
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
        "torn" => "读到半截",
        "sent" => "发送",
        "received" => "收到",
        "replies" => "回复",
        "in_order" => "按顺序",
        "produced" => "生产",
        "consumed" => "消费",
        "lost" => "丢失",
        "duplicated" => "重复",
        "still_queued" => "还在队列",
        "tasks_done" => "处理完",
        "permits" => "车位",
        "workers" => "进程",
        "entered" => "停过车",
        "most_inside" => "同时最多",
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
        "too_early" => "抢先",
        "broken" => "破裂",
        "capacity" => "容量",
        "most_queued" => "同时最多",
        "expected" => "应有",
        "actual" => "实有",
        "types" => "类型",
        "steps" => "步骤",
        "arrived" => "到达",
        "out_of_turn" => "抢先",
        "manager_gone" => "服务进程已死",
        "clients" => "客户",
        "connected" => "还连着",
        "objects" => "对象",
        "names" => "有名字的",
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
        "send_refused" => "不能发送",
        "end_of_file" => "读到结尾",
        "queue_full" => "队列已满",
        "queue_empty" => "队列已空",
        "queue_joined" => "队列阻塞解除",
        "lock_timed_out" => "不再等锁",
        "deadlock_found" => "发现死锁",
        "gun_fired" => "发令枪响",
        "line_crossed" => "到达终点",
        "barrier_broken" => "屏障破裂",
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

//! What the runner and the workers report of a manager and its objects.
//!
//! In Chinese data is written as Python shows it, as in the reference program; in English it is JSON.

use serde_json::Value;

use crate::manager::Kind;
use crate::report::{Language, Turn, quoted};
use crate::scenarios::barrier::barrier;
use crate::scenarios::condition::condition;
use crate::scenarios::prelude::*;
use crate::scenarios::{delivery_audit, held};

const EVENT: Noun = Noun::new("event", "事件");
/// An object whose content is shown.
const OBJECT: Noun = Noun::new("object", "对象");

/// What to try next.
pub(super) const ADVICE: [&str; 2] = [
    "for other types, shells, machines and scripts: ipc-demo manager --help",
    "其他类型、其他终端和机器、脚本用法：ipc-demo manager --help",
];

/// What is reported of a manager.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum ManagerFact {
    /// A manager was started, or this process itself serves as one: then it has `addresses` for other clients.
    ManagerStarted { manager_pid: u32, addresses: Vec<String> },
    /// The runner is a client of a manager elsewhere.
    ManagerConnected { address: String },
    /// Other users of this machine can read the key.
    KeyExposed { file: String },
    /// An object of a manager was created, or looked up by name.
    ObjectMade {
        /// Its type.
        object: String,
        /// Its name, if it has one: then other clients can use it too, and it persists.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// An object of a manager was read.
    ObjectShown { object: String, value: Value },
    /// A worker called a method of an object of a manager.
    ObjectCalled {
        object: String,
        method: String,
        args: Vec<Value>,
        /// The return value, if it is not empty.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<Value>,
    },
    /// A worker waits for an event to be set.
    EventAwaited,
    /// An event was set.
    EventSet,
    /// A worker found the event set, and went on.
    EventSeen { waited_us: u64 },
}

impl Fact for ManagerFact {
    fn class(&self) -> Class<'_> {
        let call = |zh| Class { calls: true, ..Class::dot(Severity::Plain, zh) };
        match self {
            Self::ManagerStarted { manager_pid, .. } => {
                Class { server: Some(("manager", *manager_pid)), ..Class::dot(Severity::Plain, "启动服务进程") }
            }
            Self::ManagerConnected { .. } => Class::dot(Severity::Plain, "连接到服务进程"),
            Self::KeyExposed { .. } => Class::dot(Severity::Trouble, "密钥可被读取"),
            Self::ObjectMade { object, .. } => {
                let turn = Some(Turn { object, has_tasks: object == "JoinableQueue" });
                Class { turn, ..call("生成服务") }
            }
            Self::ObjectShown { .. } => call("查看"),
            Self::ObjectCalled { .. } => call("调用"),
            Self::EventAwaited => Class::waits(EVENT, ""),
            Self::EventSet => Class::dot(Severity::Good, "触发事件"),
            Self::EventSeen { .. } => Class::goes_on(EVENT, ""),
        }
    }

    fn things(&self) -> Vec<Thing> {
        let Self::ObjectMade { object, .. } = self else { return Vec::new() };
        let content = |name: &str| Thing::new(OBJECT, name, Shape::Object { value: Value::Null });
        let Some(kind) = Kind::by_name(object) else { return Vec::new() };
        match kind {
            Kind::Lock => vec![held::lock("lock"), content("count")],
            Kind::RLock => vec![held::lock("rlock"), content("count")],
            Kind::Semaphore => vec![held::permits("semaphore", 1), content("count")],
            Kind::BoundedSemaphore => vec![held::permits("bounded semaphore", 1), content("count")],
            Kind::Condition => vec![condition("not empty"), delivery_audit::queue(None).titled("goods", "goods")],
            Kind::Event => vec![Thing::new(EVENT, "", Shape::Lamp { is_on: false })],
            Kind::Barrier => vec![barrier(None)],
            Kind::Queue | Kind::JoinableQueue => vec![delivery_audit::queue(None)],
            Kind::List | Kind::Dict | Kind::Namespace | Kind::Value | Kind::Array => {
                vec![content(&object.to_lowercase())]
            }
        }
    }

    fn change(&self, _worker: &str, things: &mut Things) {
        match self {
            Self::ObjectShown { object, value } => {
                if let Some(content) = things.object(OBJECT, object) {
                    content.clone_from(value);
                }
            }
            Self::ObjectCalled { object, method, args, answer } => {
                if let Some(content) = things.object(OBJECT, object) {
                    called(content, method, args, answer.as_ref());
                }
            }
            Self::EventSet => {
                if let Some(Shape::Lamp { is_on, .. }) = things.shape(EVENT, "") {
                    *is_on = true;
                }
            }
            _ => {}
        }
    }

    fn sentence(&self, wording: &Wording<'_>) -> String {
        let literal = |value: &Value| literal(value, wording.language);
        match self {
            Self::ManagerStarted { manager_pid, addresses } if addresses.is_empty() => {
                say!(wording, "starts a manager as process {manager_pid}", "启动服务进程，进程号 {manager_pid}")
            }
            Self::ManagerStarted { addresses, .. } => {
                let addresses = addresses.join(wording.pick(", ", "、"));
                say!(wording, "serves as a manager at {addresses}", "作为服务进程运行，地址 {addresses}")
            }
            Self::ManagerConnected { address } => {
                say!(wording, "connects to the manager at {address}", "连接到服务进程 {address}")
            }
            Self::KeyExposed { file } => {
                say!(wording, "WARNING: other users can read {file}", "警告：其他用户可以读取 {file}")
            }
            Self::ObjectMade { object, name: None } => {
                let article = if object.starts_with(['A', 'E']) || object == "RLock" { "an" } else { "a" };
                say!(wording, "creates {article} {object} in the manager", "生成服务：{object}")
            }
            Self::ObjectMade { object, name: Some(name) } => {
                say!(wording, "uses the {object} named \"{name}\"", "使用名为“{name}”的 {object}")
            }
            // The reference program prints its dict, and nothing else.
            Self::ObjectShown { object, value } if object == "dict" => {
                say!(wording, "shows {object}: {value}", "{value}", value = literal(value))
            }
            Self::ObjectShown { object, value } => {
                say!(wording, "shows {object}: {value}", "{object}: {value}", value = literal(value))
            }
            Self::ObjectCalled { object, method, args, answer } => {
                let args: Vec<String> = args.iter().map(literal).collect();
                let call = format!("{object}.{method}({})", args.join(", "));
                let gets = wording.pick(" and gets ", "，得到 ");
                let answer = answer.as_ref().map(|answer| format!("{gets}{}", literal(answer))).unwrap_or_default();
                say!(wording, "calls {call}{answer}", "调用 {call}{answer}")
            }
            Self::EventAwaited => say!(wording, "waits for the event", "等待事件"),
            Self::EventSet => say!(wording, "sets the event", "触发事件"),
            Self::EventSeen { waited_us } => {
                let waited = wording.waited(*waited_us);
                say!(wording, "sees the event set ({waited})", "事件已触发，继续（{waited}）")
            }
        }
    }

    fn details(&self, wording: &Wording<'_>) -> Vec<String> {
        match self {
            Self::ManagerStarted { addresses, .. } => {
                let how_to_connect = |address: &String| {
                    let elsewhere = wording.pick("from another shell: ", "在另一个终端：");
                    // The address of all interfaces does not identify this host.
                    let address = address.replacen("0.0.0.0", "HOST", 1).replacen("[::]", "HOST", 1);
                    format!("{elsewhere}ipc-demo manager --connect {} --authkey-file FILE", quoted(&address))
                };
                addresses.iter().map(how_to_connect).collect()
            }
            Self::KeyExposed { file } => vec![format!("chmod 600 {}", quoted(file))],
            _ => Vec::new(),
        }
    }
}

/// Changes the content of an object as a call did.
fn called(content: &mut Value, method: &str, args: &[Value], answer: Option<&Value>) {
    let place = match (method, args, &mut *content) {
        ("append", [item], Value::Array(items)) => return items.push(item.clone()),
        ("set_item" | "add", [Value::String(key), ..], Value::Object(entries)) => {
            entries.entry(key.as_str()).or_insert(Value::Null)
        }
        ("add", [place, _], Value::Array(items)) => {
            let Some(item) = place.as_u64().and_then(|place| items.get_mut(place as usize)) else { return };
            item
        }
        ("add" | "set", [_], number) => number,
        _ => return,
    };
    let new = answer.or(args.last()).cloned().unwrap_or_default();
    // Reports of several workers may overtake each other; what they add to only grows.
    let is_older = method == "add" && new.as_u64() < place.as_u64();
    if !is_older {
        *place = new;
    }
}

/// Returns data as JSON in English, and as Python shows it in Chinese.
fn literal(value: &Value, language: Language) -> String {
    let is_python = language == Language::Zh;
    match value {
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| literal(item, language)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) => {
            let entry = |(key, item): (&String, &Value)| {
                format!("{}: {}", literal(&key.as_str().into(), language), literal(item, language))
            };
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Value::Null if is_python => "None".to_owned(),
        Value::Bool(true) if is_python => "True".to_owned(),
        Value::Bool(false) if is_python => "False".to_owned(),
        // Python prefers single quotes where there are none inside.
        Value::String(text) if is_python && !text.contains(['\'', '\\']) => format!("'{text}'"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn data_is_json_or_python() {
        let value = json!({"a": [1, true, null], "it's": 0.5});
        assert_eq!(literal(&value, Language::En), r#"{"a": [1, true, null], "it's": 0.5}"#);
        assert_eq!(literal(&value, Language::Zh), r#"{'a': [1, True, None], "it's": 0.5}"#);
        assert_eq!(literal(&json!({}), Language::Zh), "{}");
    }
}

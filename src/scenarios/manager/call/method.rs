//! The names of methods in calls.

use anyhow::anyhow;

use crate::manager::{Kind, Method, Signature};

/// Methods with shorter names than in Python.
const SHORT: &[(&str, Method)] =
    &[("get", Method::GetItem), ("set", Method::SetItem), ("del", Method::DelItem), ("push", Method::Append)];

/// Returns the method of a name in any of its spellings, including Python's: `get_item`, `getitem`, `__getitem__`; and
/// whether it may block.
pub(super) fn method_of(kind: Kind, name: &str) -> anyhow::Result<(Method, bool)> {
    let plain = |name: &str| name.replace('_', "");
    let methods = kind.methods();
    let by_name = || methods.iter().copied().find(|method| plain(&method.to_string()) == plain(name));
    let by_short =
        || SHORT.iter().find(|(short, method)| *short == name && methods.contains(method)).map(|known| known.1);
    let method = by_name().or_else(by_short).ok_or_else(|| {
        let usages: Vec<String> = methods.iter().map(|method| usage(kind, *method)).collect();
        anyhow!("{kind} has no method {name:?} (it has: {})", usages.join(", "))
    })?;
    Ok((method, method.signature(kind).is_some_and(Signature::may_wait)))
}

/// Returns how a method is called: its short name if that is unambiguous, and its arguments.
fn usage(kind: Kind, method: Method) -> String {
    let means_another = |short: &str| short.parse().is_ok_and(|other: Method| other.signature(kind).is_some());
    let short = SHORT.iter().find(|(short, of)| *of == method && !means_another(short));
    let name = short.map_or_else(|| method.to_string(), |(short, _)| (*short).to_owned());
    let arguments = method.signature(kind).map_or_else(String::new, |signature| signature.to_string());
    format!("{name} {arguments}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_have_python_s_names_too() {
        for (kind, name, method) in [
            (Kind::Dict, "set", Method::SetItem),
            (Kind::Dict, "get", Method::Get),
            (Kind::Dict, "__setitem__", Method::SetItem),
            (Kind::Dict, "setdefault", Method::SetDefault),
            (Kind::List, "get", Method::GetItem),
            (Kind::Value, "set", Method::Set),
            (Kind::Event, "set", Method::Set),
            (Kind::Queue, "get", Method::Get),
            (Kind::List, "push", Method::Append),
        ] {
            assert_eq!(method_of(kind, name).expect(name).0, method);
        }
        let refused = method_of(Kind::Event, "put").expect_err("no method").to_string();
        assert_eq!(refused, "Event has no method \"put\" (it has: set, clear, wait, is_set, snapshot)");
        let refused = method_of(Kind::Dict, "put").expect_err("no method").to_string();
        let usages = ["get_item KEY, set KEY VALUE, del KEY, get KEY [DEFAULT], keys,", "add KEY AMOUNT [DEFAULT]"];
        assert!(usages.iter().all(|usage| refused.contains(usage)), "{refused}");
    }
}

//! Lists, dicts, namespaces and values: the objects that hold one piece of data.
//!
//! # Standard
//! Python's managed `Value` holds any data; its typecode is only a note. For the others see their files.

use super::{Args, Failure, Kind, Map, Method, Outcome, Variant, dict, list};

/// An object that holds data: a list object a list, a dict or namespace object a dict, a value object anything.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) kind: Kind,
    pub(crate) content: Variant,
    /// Empty unless it is a value.
    typecode: String,
}

impl Container {
    pub(crate) fn create(kind: Kind, mut args: Args) -> Result<Self, Failure> {
        let typecode = if kind == Kind::Value { args.text()? } else { String::new() };
        let content = match kind {
            Kind::Value => args.variant()?,
            Kind::List => args.or(Vec::new(), Args::list)?.into(),
            _ => args.or(Map::new(), |args| dict::entries(kind, args))?.into(),
        };
        Ok(Container { kind, content, typecode })
    }

    pub(crate) fn call(&mut self, method: Method, args: Args) -> Outcome {
        let kind = self.kind;
        Ok(match (method, &mut self.content) {
            (Method::Copy | Method::Snapshot, content) => content.clone().into(),
            (Method::Typecode, _) => self.typecode.as_str().into(),
            (_, Variant::List(items)) if kind == Kind::List => list::call(items, method, args)?,
            (_, Variant::Dict(map)) if kind != Kind::Value => dict::call(map, kind, method, args)?,
            _ => return Err(args.no_such_method()),
        })
    }
}

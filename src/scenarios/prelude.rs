//! The imports of every scenario: `use super::prelude::*`.

pub(crate) use serde::{Deserialize, Serialize};

pub(crate) use super::scenario::{
    CheckResult, Completion, Observer, Runner, Scenario, WorkerContext, is_exploring, named, numbered,
};
pub(crate) use crate::ipc::operation::unobserved;
pub(crate) use crate::number::whole;
pub(crate) use crate::report::{
    Allowance, AnyFact, Class, Event, Fact, Key, Names, Noun, Parse, Severity, Shape, Thing, Things, Wording,
    WorkerExited, counted, counter, of_all, of_all_zh, say,
};
pub(crate) use crate::{Role, RoleEntry, RoleResult};

//! Every method of every type against a model, with random calls by two clients.
//!
//! A model specifies the type in a few lines of plain Rust; it chooses the arguments of a call and gives the expected
//! result. The methods are those of the table, so none can be forgotten: see [`no_method_is_without_a_model`].
//! Calls here do not wait; waiting is tested step by step in [`super::waiting`] and [`super::departure`].

mod cells;
mod containers;
mod queues;
mod soundness;
mod waits;

use proptest::prelude::*;

use super::*;
use crate::ipc::manager::data::NotComparable;

/// The expected result of a call.
type Expected = Result<Reply, Failure>;

/// The specification of a type.
trait Model {
    /// Returns the arguments with which the object is created.
    fn made_with(&self) -> Vec<Variant>;

    /// Returns arguments for a call of `method`, and the expected result. `None`: the model does not have the method.
    fn call(&mut self, method: Method, draw: &Draw) -> Option<(Vec<Variant>, Expected)>;

    /// Returns the expected snapshot of the object.
    fn snapshot(&self) -> Variant;
}

/// The random input for a call.
#[derive(Debug, Clone)]
struct Draw {
    method: usize,
    /// Which of the two clients calls.
    is_second: bool,
    index: i64,
    bound: i64,
    step: Option<i64>,
    number: i64,
    key: String,
    is_list: bool,
    flag: bool,
    /// For calls after which nothing of interest can happen.
    is_rare: bool,
}

prop_compose! {
    fn draws()(
        method in 0..1000_usize,
        (is_second, is_list, flag) in any::<(bool, bool, bool)>(),
        (index, bound, number) in (-5..6_i64, -5..6_i64, 0..4_i64),
        step in prop::sample::select(vec![None, Some(1), Some(2), Some(-1), Some(-2)]),
        key in "[a-c]",
        rare in 0..10_u8,
    ) -> Draw {
        Draw { method, is_second, index, bound, step, number, key, is_list, flag, is_rare: rare == 0 }
    }
}

impl Draw {
    /// A number, or a list of one.
    fn item(&self) -> Variant {
        let number = Variant::from(self.number);
        if self.is_list { vec![number].into() } else { number }
    }

    /// Begin, end and step of a slice.
    fn slice(&self) -> Vec<Variant> {
        vec![self.index.into(), self.bound.into(), self.step.map_or(Variant::Null, Variant::from)]
    }
}

fn model(kind: Kind, size: usize) -> Box<dyn Model> {
    match kind {
        Kind::List => Box::new(containers::List::default()),
        Kind::Dict => Box::new(containers::Dict::default()),
        Kind::Namespace => Box::new(containers::Namespace::default()),
        Kind::Value => Box::new(cells::Value::new()),
        Kind::Array => Box::new(cells::Array::new(size)),
        Kind::Lock | Kind::RLock | Kind::Condition => Box::new(waits::Mutex::new(kind)),
        Kind::Semaphore | Kind::BoundedSemaphore => Box::new(waits::Semaphore::new(kind, size)),
        Kind::Event => Box::new(waits::Event::default()),
        Kind::Barrier => Box::new(waits::Barrier::new(size)),
        Kind::Queue => Box::new(queues::Queue::new(size)),
        Kind::JoinableQueue => Box::new(queues::JoinableQueue::new(size)),
    }
}

/// An object and its model.
struct Pair {
    fixture: Fixture,
    clients: [SessionId; 2],
    object: ObjectRef,
    model: Box<dyn Model>,
}

impl Pair {
    fn new(kind: Kind, size: usize) -> Self {
        let (mut fixture, model) = (Fixture::new(), model(kind, size));
        let clients = [fixture.client(), fixture.client()];
        let object = fixture.make(clients[0], kind, model.made_with());
        fixture.give(clients[0], clients[1], &object);
        Pair { fixture, clients, object, model }
    }

    /// Calls a method of the object and of its model. Returns whether the model has it.
    fn step(&mut self, method: Method, draw: &Draw) -> bool {
        if method == Method::Snapshot {
            assert_eq!(self.answer(false, method, vec![]), Ok(self.model.snapshot().into()), "{}", self.object.kind());
            return true;
        }
        let before = self.model.snapshot();
        let Some((args, expected)) = self.model.call(method, draw) else { return false };
        assert!(!method.reads_only(self.object.kind()) || self.model.snapshot() == before, "{method} changes it");
        let answer = self.answer(draw.is_second, method, args.clone());
        assert_eq!(answer, comparable(expected), "{} {method} {args:?}", self.object.kind());
        self.step(Method::Snapshot, draw)
    }

    fn answer(&mut self, is_second: bool, method: Method, args: Vec<Variant>) -> Expected {
        let client = self.clients[usize::from(is_second)];
        let answer = self.fixture.call_for(client, &self.object, method, args, Some(Duration::ZERO));
        comparable(answer.unwrap_or_else(|| {
            // Results that can only come as completions have arrived by now, or timed out.
            let mut completed = self.fixture.after(0);
            assert_eq!(completed.len(), 1, "{method}");
            completed.remove(0).1
        }))
    }
}

/// Removes numbers that only the store knows, and texts that are compared elsewhere.
fn comparable(answer: Expected) -> Expected {
    answer
        .map(|reply| match reply {
            Reply::Acquired { abandoned, .. } => Reply::Acquired { permit: 0, abandoned },
            Reply::Leased { deliveries, item, .. } => Reply::Leased { lease: 0, deliveries, item },
            other => other,
        })
        .map_err(|failure| match failure {
            Failure::BadArgument { .. } => wrong(),
            Failure::NotComparable(_) => no_order(),
            other => other,
        })
}

/// An argument that cannot be used.
fn wrong() -> Failure {
    Failure::bad_argument("", "")
}

fn no_order() -> Failure {
    Failure::NotComparable(NotComparable(String::new(), String::new()))
}

fn done() -> Expected {
    Ok(Reply::DONE)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_type_does_what_its_model_does(size in 0..4_usize, draws in prop::collection::vec(draws(), 0..80)) {
        for kind in Kind::ALL {
            let (mut pair, methods) = (Pair::new(kind, size), kind.methods());
            for draw in &draws {
                let method = methods[draw.method % methods.len()];
                if draw.is_rare || !matches!(method, Method::Shutdown | Method::Clear | Method::Abort) {
                    pair.step(method, draw);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// One argument too many: the call is refused, and the object is unchanged.
    #[test]
    fn call_with_an_argument_too_many_changes_nothing(size in 1..4_usize, draws in prop::collection::vec(draws(), 1..20)) {
        for kind in Kind::ALL {
            let (mut pair, methods) = (Pair::new(kind, size), kind.methods());
            for draw in &draws {
                let method = methods[draw.method % methods.len()];
                pair.step(method, draw);
                for &method in &methods {
                    // The model applies the call, so use a separate one.
                    let asked = model(kind, size).call(method, draw);
                    let mut args = asked.map_or_else(Vec::new, |(args, _)| args);
                    while method.signature(kind).is_some_and(|signature| signature.takes(args.len())) {
                        args.push(Variant::Null);
                    }
                    let before = format!("{:?}", pair.fixture.store.objects);
                    let answer = pair.fixture.call_for(pair.clients[0], &pair.object, method, args.clone(), Some(Duration::ZERO));
                    let is_refused = matches!(answer, Some(Err(Failure::ArgumentCount { .. })));
                    prop_assert!(is_refused, "{} {} {:?}: {:?}", kind, method, args, answer);
                    prop_assert_eq!(before, format!("{:?}", pair.fixture.store.objects), "{} {} {:?}", kind, method, args);
                }
            }
        }
    }
}

fn plain_draw() -> Draw {
    let (index, bound, number, key) = (0, 1, 1, "a".to_owned());
    let (is_second, is_list, flag, is_rare) = (false, false, false, true);
    Draw { method: 0, is_second, index, bound, step: None, number, key, is_list, flag, is_rare }
}

#[test]
fn no_method_is_without_a_model() {
    for kind in Kind::ALL {
        let mut pair = Pair::new(kind, 2);
        let (known, unknown): (Vec<_>, Vec<_>) =
            kind.methods().into_iter().partition(|method| pair.step(*method, &plain_draw()));
        assert_eq!(unknown, [], "methods of a {kind} that are in its table and in no model");
        assert_eq!(known, kind.methods());
    }
}

/// A method, and the test of its waiting.
type Tested = (Method, fn());

/// Where waiting calls, and calls that end another's wait, are tested.
const WAITING: &[(Kind, &[Tested])] = {
    use super::{departure as d, waiting as w};
    use Method::{Acquire, Finish, Get, Join, Notify, NotifyAll, Put, Wait};
    const QUEUES: &[Tested] = &[
        (Put, w::both_queues_bring_together_who_puts_gets_and_joins),
        (Get, w::both_queues_bring_together_who_puts_gets_and_joins),
        (Join, w::both_queues_bring_together_who_puts_gets_and_joins),
    ];
    &[
        (Kind::Lock, &[(Acquire, w::lock_blocks_until_released_and_serves_in_order)]),
        (Kind::RLock, &[(Acquire, w::rlock_belongs_to_a_thread_of_a_client)]),
        (Kind::Semaphore, &[(Acquire, w::semaphore_hands_on_permits)]),
        (Kind::BoundedSemaphore, &[(Acquire, w::bounded_semaphore_has_a_bound)]),
        (
            Kind::Condition,
            &[
                (Acquire, d::notification_of_the_dead_does_not_go_to_who_came_after_it),
                (Wait, w::condition_wakes_as_many_as_asked_with_the_lock_held),
                (Notify, w::condition_wakes_as_many_as_asked_with_the_lock_held),
                (NotifyAll, w::condition_wakes_as_many_as_asked_with_the_lock_held),
            ],
        ),
        (Kind::Event, &[(Wait, w::event_wakes_all_also_if_cleared_at_once)]),
        (
            Kind::Barrier,
            &[
                (Wait, w::barrier_gives_each_party_a_number_and_is_reusable),
                (Finish, w::barrier_action_runs_before_anybody_is_released),
            ],
        ),
        (Kind::Queue, QUEUES),
        (Kind::JoinableQueue, QUEUES),
    ]
};

#[test]
fn no_wait_is_without_a_test() {
    for kind in Kind::ALL {
        let ends_waits = |method| matches!(method, Method::Notify | Method::NotifyAll | Method::Finish);
        let has_to_be =
            |method: &Method| method.signature(kind).is_some_and(Signature::may_wait) || ends_waits(*method);
        let table: Vec<Method> = kind.methods().into_iter().filter(has_to_be).collect();
        let tested = WAITING.iter().find(|(of, _)| *of == kind).map_or(&[][..], |(_, tests)| tests);
        for (method, test) in tested {
            assert!(table.contains(method), "a {kind} has nothing to wait for in {method}");
            test();
        }
        let named = |method: &Method| tested.iter().any(|(name, _)| name == method);
        assert!(table.iter().all(named), "of {table:?} of a {kind} not all are tested");
    }
}

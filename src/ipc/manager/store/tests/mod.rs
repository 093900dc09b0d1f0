//! The store without sockets, threads or a clock.

mod containers;
mod departure;
mod lifetime;
mod models;
mod scheduled;
mod table;
mod waiting;

use std::time::Duration;

use super::*;

/// A store, a clock that the test advances, and numbers for requests.
pub(super) struct Fixture {
    store: Store,
    now_ns: u64,
    tickets: u64,
}

/// Outcome of a call.
pub(super) type Answer = Option<Result<Reply, Failure>>;

impl Fixture {
    pub(super) fn new() -> Self {
        Fixture { store: Store::new(|_| true), now_ns: 1_000, tickets: 0 }
    }

    pub(super) fn client(&mut self) -> SessionId {
        self.store.open_session(None)
    }

    pub(super) fn ask(&mut self, client: SessionId, request: Request) -> Answer {
        self.tickets += 1;
        self.store.request(client, Ticket(self.tickets), request, self.now_ns)
    }

    pub(super) fn make(&mut self, client: SessionId, kind: Kind, args: Vec<Variant>) -> ObjectRef {
        match self.ask(client, Request::Create { kind, args, name: None }) {
            Some(Ok(Reply::Object(reference))) => reference,
            other => panic!("{kind} was not made: {other:?}"),
        }
    }

    /// Lets another client use an object, by a transfer.
    pub(super) fn give(&mut self, from: SessionId, to: SessionId, object: &ObjectRef) {
        let token = TransferToken(u128::from(self.tickets));
        assert_eq!(self.ask(from, Request::Export { object: object.id(), token }), Some(Ok(Reply::DONE)));
        assert_eq!(self.ask(to, Request::Import(token)), Some(Ok(Reply::Object(object.clone()))));
    }

    pub(super) fn call(&mut self, client: SessionId, object: &ObjectRef, method: Method, args: Vec<Variant>) -> Answer {
        self.call_for(client, object, method, args, None)
    }

    pub(super) fn call_for(
        &mut self,
        client: SessionId,
        object: &ObjectRef,
        method: Method,
        args: Vec<Variant>,
        timeout: Option<Duration>,
    ) -> Answer {
        let call = Call { object: object.id(), method, args, timeout, thread: 1 };
        let waits_already = self.store.waits(client);
        let looked = self.ask(client, Request::Look(call.clone()));
        let answer = self.ask(client, Request::Call(call));
        // A wait at a condition or a barrier can begin at any time.
        let begins = matches!((object.kind(), method), (Kind::Condition | Kind::Barrier, Method::Wait));
        if !waits_already && !begins {
            let waited = match &answer {
                None | Some(Ok(Reply::NotInTime)) => true,
                Some(Ok(reply)) => method == Method::Wait && *reply == false.into(),
                Some(Err(_)) => false,
            };
            let is_foreseen = matches!(looked, Some(Ok(Reply::Look { can_go, .. })) if can_go != waited);
            assert!(is_foreseen, "{method} of {} answered {answer:?} after {looked:?}", object.kind());
        }
        answer
    }

    /// A call that must answer with data at once.
    pub(super) fn get(&mut self, client: SessionId, object: &ObjectRef, method: Method, args: Vec<Variant>) -> Variant {
        match self.call(client, object, method, args) {
            Some(Ok(Reply::Variant(variant) | Reply::Item(variant))) => variant,
            other => panic!("{method} came to {other:?}"),
        }
    }

    pub(super) fn fail(
        &mut self,
        client: SessionId,
        object: &ObjectRef,
        method: Method,
        args: Vec<Variant>,
    ) -> Failure {
        match self.call(client, object, method, args) {
            Some(Err(failure)) => failure,
            other => panic!("{method} came to {other:?}"),
        }
    }

    /// Returns the results that became ready for calls that waited, by client.
    pub(super) fn completed(&mut self) -> Vec<(SessionId, Result<Reply, Failure>)> {
        let completed = self.store.take_completions();
        completed.into_iter().map(|completion| (completion.session, completion.result)).collect()
    }

    pub(super) fn after(&mut self, nanos: u64) -> Vec<(SessionId, Result<Reply, Failure>)> {
        self.now_ns += nanos;
        self.store.expire(self.now_ns);
        self.completed()
    }

    pub(super) fn leave(&mut self, client: SessionId) -> Vec<(SessionId, Result<Reply, Failure>)> {
        self.store.close_session(client, self.now_ns);
        self.completed()
    }

    pub(super) fn objects(&self) -> u64 {
        self.store.status().objects
    }
}

/// Data in JSON's notation.
pub(super) fn json(text: &str) -> Variant {
    Variant::from_json(text).expect("well-formed")
}

/// Arguments in JSON's notation.
pub(super) fn args(text: &str) -> Vec<Variant> {
    match json(text) {
        Variant::List(items) => items,
        _ => panic!("arguments are a list"),
    }
}

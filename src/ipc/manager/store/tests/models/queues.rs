//! Queues, plain and joinable, by clients that do not wait.

use std::collections::VecDeque;

use super::*;

/// Common to both queues: items up to a limit, until the queue is shut down.
struct Items {
    maxsize: usize,
    items: VecDeque<Variant>,
    is_shut: bool,
}

impl Items {
    fn new(maxsize: usize) -> Self {
        Items { maxsize, items: VecDeque::new(), is_shut: false }
    }

    fn is_full(&self) -> bool {
        self.maxsize > 0 && self.items.len() >= self.maxsize
    }

    fn put(&mut self, item: Variant) -> Expected {
        if self.is_shut {
            return Err(Failure::ShutDown);
        }
        if self.is_full() {
            return Ok(Reply::NotInTime);
        }
        self.items.push_back(item);
        done()
    }

    fn get(&mut self) -> Result<Option<Variant>, Failure> {
        let item = self.items.pop_front();
        if item.is_none() && self.is_shut { Err(Failure::ShutDown) } else { Ok(item) }
    }

    /// Returns how many items are dropped.
    fn shut_down(&mut self, at_once: bool) -> usize {
        self.is_shut = true;
        if at_once { self.items.drain(..).count() } else { 0 }
    }

    fn look(&self, method: Method, unfinished: usize) -> Option<Expected> {
        Some(Ok(match method {
            Method::Qsize | Method::Len => self.items.len().into(),
            Method::Empty => self.items.is_empty().into(),
            Method::Full => self.is_full().into(),
            Method::Unfinished => unfinished.into(),
            Method::DeadLetters => Reply::Variant(vec![].into()),
            Method::Join if unfinished == 0 => Reply::DONE,
            Method::Join => Reply::NotInTime,
            _ => return None,
        }))
    }

    fn copy(&self) -> Variant {
        self.items.iter().cloned().collect()
    }
}

pub(super) struct Queue {
    items: Items,
    undone: usize,
}

impl Queue {
    pub(super) fn new(size: usize) -> Self {
        Queue { items: Items::new(size), undone: 0 }
    }
}

impl Model for Queue {
    fn made_with(&self) -> Vec<Variant> {
        vec![self.items.maxsize.into()]
    }

    fn call(&mut self, method: Method, draw: &Draw) -> Option<(Vec<Variant>, Expected)> {
        Some(match method {
            Method::Put => {
                let put = self.items.put(draw.item());
                self.undone += usize::from(put == done());
                (vec![draw.item()], put)
            }
            Method::Get => (vec![], self.items.get().map(|item| item.map_or(Reply::NotInTime, Reply::Item))),
            Method::TaskDone if self.undone == 0 => (vec![], Err(Failure::TooManyTasksDone)),
            Method::TaskDone => {
                self.undone -= 1;
                (vec![], done())
            }
            Method::Shutdown => {
                self.undone = self.undone.saturating_sub(self.items.shut_down(draw.flag));
                (vec![draw.flag.into()], done())
            }
            look => (vec![], self.items.look(look, self.undone)?),
        })
    }

    fn snapshot(&self) -> Variant {
        self.items.copy()
    }
}

pub(super) struct JoinableQueue {
    items: Items,
    /// The clients that have leases, oldest first.
    lent: Vec<bool>,
}

impl JoinableQueue {
    pub(super) fn new(size: usize) -> Self {
        JoinableQueue { items: Items::new(size), lent: Vec::new() }
    }
}

impl Model for JoinableQueue {
    fn made_with(&self) -> Vec<Variant> {
        vec![self.items.maxsize.into()]
    }

    fn call(&mut self, method: Method, draw: &Draw) -> Option<(Vec<Variant>, Expected)> {
        Some(match method {
            Method::Put => (vec![draw.item()], self.items.put(draw.item())),
            Method::Get => {
                let got = self.items.get();
                self.lent.extend(matches!(got, Ok(Some(_))).then_some(draw.is_second));
                let leased = |item| Reply::Leased { lease: 0, deliveries: 1, item };
                (vec![], got.map(|item| item.map_or(Reply::NotInTime, leased)))
            }
            Method::TaskDone if self.lent.is_empty() => (vec![], Err(Failure::TooManyTasksDone)),
            Method::TaskDone => {
                // The caller's oldest, or else the oldest of all.
                let own = self.lent.iter().position(|who| *who == draw.is_second);
                self.lent.remove(own.unwrap_or(0));
                (vec![], done())
            }
            Method::Shutdown => {
                self.items.shut_down(draw.flag);
                (vec![draw.flag.into()], done())
            }
            look => (vec![], self.items.look(look, self.items.items.len() + self.lent.len())?),
        })
    }

    fn snapshot(&self) -> Variant {
        self.items.copy()
    }
}

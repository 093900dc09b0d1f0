//! A mutex in shared memory that outlives its owner: glibc's robust process-shared mutex.
//!
//! # Death
//! When the owner's thread ends in any way while it holds the mutex, the kernel marks it and wakes the next waiter,
//! which acquires it as [`Locked::Abandoned`]. The mark is cleared at once (`pthread_mutex_consistent`), so that the
//! mutex itself never becomes unusable; checking the protected data is up to the caller.
//!
//! # Standard
//! `pthread_mutexattr_setrobust(3)`, `PTHREAD_MUTEX_ERRORCHECK`, `get_robust_list(2)`. The kernel hands on at most
//! 2,048 robust mutexes of a thread that ends (`ROBUST_LIST_LIMIT`), most recent first; [`held_by_this_thread`] counts
//! them.

use std::cell::{Cell, UnsafeCell};
use std::io;
use std::mem::MaybeUninit;
use std::panic::RefUnwindSafe;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::gettid;

use super::atomic::AtomicU32;
use super::atomic::Ordering::Acquire;
use super::clock::timespec_of;
use super::retry::succeed;

unsafe extern "C" {
    // glibc 2.30; the libc crate does not declare it for this target.
    fn pthread_mutex_clocklock(
        mutex: *mut libc::pthread_mutex_t,
        clock: libc::clockid_t,
        until: *const libc::timespec,
    ) -> libc::c_int;
}

/// A robust mutex, for shared memory only.
#[repr(transparent)]
pub(crate) struct RobustMutex(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: a process-shared pthread mutex is made to be used by many threads of many processes at once.
unsafe impl Sync for RobustMutex {}

// A panic leaves the mutex locked or unlocked, but never torn, like an atomic.
impl RefUnwindSafe for RobustMutex {}

thread_local! {
    static HELD: Cell<u32> = const { Cell::new(0) };
}

/// Returns how many robust mutexes the calling thread owns, across all objects.
#[inline]
pub(crate) fn held_by_this_thread() -> u32 {
    HELD.get()
}

/// Outcome of an attempt to lock a [`RobustMutex`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locked {
    /// The caller owns it.
    Clean,
    /// The caller owns it, and the previous owner died with it.
    Abandoned,
    /// It is owned, and stayed so until the timeout.
    Busy,
    /// The calling thread owns it already.
    WouldDeadlock,
}

impl RobustMutex {
    /// Initialises the zeroed memory as an unlocked mutex. Must be called once, before the memory is shared.
    pub(crate) fn init(&self) -> io::Result<()> {
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: initialises the attributes that the pointer names, on our stack.
        succeed(unsafe { libc::pthread_mutexattr_init(attributes) })?;
        // SAFETY: the attributes are initialised (the line above) and not shared.
        succeed(unsafe { libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED) })?;
        // SAFETY: as above.
        succeed(unsafe { libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST) })?;
        // SAFETY: as above.
        succeed(unsafe { libc::pthread_mutexattr_settype(attributes, libc::PTHREAD_MUTEX_ERRORCHECK) })?;
        // SAFETY: the mutex's memory is mapped, writable and, by this function's contract, not shared yet.
        succeed(unsafe { libc::pthread_mutex_init(self.0.get(), attributes) })
        // glibc's attributes own nothing, so they need no destroy.
    }

    /// Locks the mutex, blocking at most until `until_ns` on the monotonic clock, without limit if `None`.
    #[inline]
    pub(crate) fn lock(&self, until_ns: Option<u64>) -> Locked {
        let code = match until_ns {
            // SAFETY: `self` lies in a mapping that ran `init`, so it is a live pthread mutex.
            None => unsafe { libc::pthread_mutex_lock(self.0.get()) },
            Some(until_ns) => {
                let until = timespec_of(until_ns);
                // SAFETY: as above; the time is read from our stack.
                unsafe { pthread_mutex_clocklock(self.0.get(), libc::CLOCK_MONOTONIC, &until) }
            }
        };
        self.outcome(code)
    }

    /// Locks the mutex if it is free; tells a mutex owned by the calling thread from one owned by another.
    #[inline]
    pub(crate) fn try_lock(&self) -> Locked {
        // SAFETY: `self` lies in a mapping that ran `init`, so it is a live pthread mutex.
        let code = unsafe { libc::pthread_mutex_trylock(self.0.get()) };
        self.outcome(code)
    }

    /// Locks the mutex, abandoned or not, until the guard is dropped: for state that a death between two stores cannot
    /// tear, in a function that neither recurses nor calls foreign code while it holds the mutex.
    pub(crate) fn hold(&self) -> HeldMutex<'_> {
        self.held(self.lock(None)).expect("the caller does not hold it yet")
    }

    /// Returns a guard for a mutex that was `locked`, abandoned or not.
    pub(crate) fn held(&self, locked: Locked) -> Option<HeldMutex<'_>> {
        matches!(locked, Locked::Clean | Locked::Abandoned).then(|| HeldMutex(self))
    }

    #[inline]
    fn outcome(&self, code: libc::c_int) -> Locked {
        if code == 0 {
            HELD.set(HELD.get() + 1);
            Locked::Clean
        } else {
            self.rare_outcome(code)
        }
    }

    #[cold]
    fn rare_outcome(&self, code: libc::c_int) -> Locked {
        match code {
            libc::EBUSY | libc::ETIMEDOUT => Locked::Busy,
            libc::EDEADLK => Locked::WouldDeadlock,
            libc::EOWNERDEAD => self.adopt(),
            code => unreachable!("locking an initialised robust mutex: {}", Errno::from_raw(code)),
        }
    }

    fn adopt(&self) -> Locked {
        // SAFETY: the lock call said EOWNERDEAD: we own the mutex and it is marked inconsistent.
        let code = unsafe { libc::pthread_mutex_consistent(self.0.get()) };
        assert_eq!(code, 0, "a mutex got as abandoned can be made consistent");
        HELD.set(HELD.get() + 1);
        Locked::Abandoned
    }

    /// Unlocks the mutex. Returns `false`, without effect, if the calling thread does not own it.
    #[inline]
    pub(crate) fn unlock(&self) -> bool {
        // SAFETY: `self` lies in a mapping that ran `init`; the error-checking kind refuses a thread that is not the
        // owner.
        let code = unsafe { libc::pthread_mutex_unlock(self.0.get()) };
        if code == 0 {
            HELD.set(HELD.get() - 1);
        }
        code == 0
    }

    /// Whether a thread of this process owns the mutex: then its memory is in that thread's robust list and must stay.
    pub(crate) fn is_held_by_this_process(&self) -> bool {
        let Some(owner) = self.owner_tid() else { return false };
        let ours = nix::unistd::getpid().as_raw();
        // SAFETY: signal 0 sends nothing; it only asks whether the thread is one of ours.
        unsafe { libc::syscall(libc::SYS_tgkill, ours, owner, 0) == 0 }
    }

    /// Returns the kernel's id of the thread that owns the mutex; it may be outdated on return.
    pub(crate) fn owner_tid(&self) -> Option<u32> {
        Some(self.word().load(Acquire) & libc::FUTEX_TID_MASK).filter(|owner| *owner != 0)
    }

    /// Whether the last owner died with the mutex and it has not been locked since.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.word().load(Acquire) & libc::FUTEX_OWNER_DIED != 0
    }

    #[inline]
    fn word(&self) -> &AtomicU32 {
        // SAFETY: the robust futex word is the first of glibc's mutex, four bytes and aligned; it is only read,
        // atomically, and lives as long as `self`.
        unsafe { AtomicU32::from_ptr(self.0.get().cast::<u32>()) }
    }
}

/// A locked [`RobustMutex`]; dropping it unlocks the mutex.
pub(crate) struct HeldMutex<'a>(&'a RobustMutex);

impl Drop for HeldMutex<'_> {
    fn drop(&mut self) {
        let was_ours = self.0.unlock();
        debug_assert!(was_ours, "held within one function");
    }
}

/// Returns the kernel's id of the calling thread, under which it owns mutexes.
pub(crate) fn own_tid() -> u32 {
    gettid().as_raw() as u32
}

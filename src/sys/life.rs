//! A word in shared memory that the kernel marks when this process ends, however it ends.
//!
//! # State
//! `0` unowned · `FUTEX_WAITERS | tid` its owner is alive · `FUTEX_OWNER_DIED` set: its owner has ended, even if it is
//! still a zombie.
//!
//! # Death
//! The kernel walks a dying thread's robust list and marks every word in it before the process can be waited for. There
//! is no window, no reuse of process ids and no file to read.
//!
//! # Standard
//! `set_robust_list(2)` and the kernel's "Robust futex ABI": `FUTEX_OWNER_DIED`, `FUTEX_TID_MASK`.

use std::io;
use std::ptr;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::gettid;

use super::atomic::{AtomicU32, Ordering};

/// One entry of a robust list: the kernel finds the word at `futex_offset` from it.
#[repr(C)]
struct Node {
    next: *const Node,
}

#[repr(C)]
struct ListHead {
    list: Node,
    futex_offset: libc::c_long,
    list_op_pending: *const Node,
}

/// Ties `word` to the life of the calling thread, which must live as long as its process.
///
/// Replaces the thread's robust list, so the thread must never lock a robust mutex.
pub(crate) fn hold(word: &'static AtomicU32) -> io::Result<()> {
    let head: &'static mut ListHead = Box::leak(Box::new(ListHead {
        list: Node { next: ptr::null() },
        futex_offset: 0,
        list_op_pending: ptr::null(),
    }));
    let node: &'static mut Node = Box::leak(Box::new(Node { next: &raw const head.list }));
    // The node is in this process's own memory and the word in shared memory: the offset leads from one to the other.
    head.futex_offset = (word.as_ptr() as libc::c_long).wrapping_sub(ptr::from_ref(node) as libc::c_long);
    head.list.next = node;
    // SAFETY: head and node are leaked, so the kernel may read them until the thread ends; the size is that of the ABI.
    Errno::result(unsafe { libc::syscall(libc::SYS_set_robust_list, ptr::from_ref(head), size_of::<ListHead>()) })?;
    // The list is registered first: a kill from here on marks the word. FUTEX_WAITERS is always set, so that the kernel
    // always wakes a waiter.
    word.store(libc::FUTEX_WAITERS | gettid().as_raw() as u32, Ordering::Release);
    Ok(())
}

/// Returns whether the owner of a life word is alive; `None` while it is unowned.
pub(crate) fn is_alive(word: &AtomicU32) -> Option<bool> {
    let value = word.load(Ordering::Acquire);
    (value != 0).then_some(value & libc::FUTEX_OWNER_DIED == 0)
}

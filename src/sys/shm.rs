//! Unnamed shared memory: a sealed memfd and its mapping.
//!
//! # State
//! `[Header][T][tail bytes]`. The header identifies `T`; the creator writes `ready` last, so mapping an unfinished one
//! is an error and never a misread. The memfd is sealed against resizing: no peer can make an access fault.
//!
//! # Death
//! The memory exists as long as any process has it open or mapped, and leaves nothing behind.
//!
//! # Standard
//! `fcntl(2)` `F_ADD_SEALS`, `fallocate(2)` (so that exhausted memory is an error here instead of a SIGBUS
//! later), `mmap(2)` `MAP_SHARED`.

use std::ffi::c_void;
use std::io;
use std::ops::{Deref, Range};
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use nix::libc;
use nix::sys::stat::fstat;

use super::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use super::fork;
use super::memfd;
use super::memory::{check_available, page_bytes};
use super::number;
use super::robust::RobustMutex;

/// A type that may be placed in memory shared between processes.
///
/// # Safety
/// Must have a fixed `repr(C)` layout of atomics and robust mutexes only (everything may change under a `&Self`), be
/// valid with all bytes zero or with anything a peer wrote, and have neither pointers nor drop glue. Use
/// [`shared_layout!`].
pub unsafe trait Shared: Sync {
    /// A hash that differs between layouts: compared by builds that share memory.
    const SIGNATURE: u64;

    /// Whether the memory may be unmapped: `false` while this process still owns a mutex in it.
    fn may_unmap(&self) -> bool {
        true
    }
}

macro_rules! shared_atomics {
    ($($atomic:ty),*) => {$(
        // SAFETY: an atomic integer has a fixed layout, every bit pattern is valid, and no drop glue.
        unsafe impl Shared for $atomic {
            const SIGNATURE: u64 = sign(0, stringify!($atomic));
        }
    )*};
}
shared_atomics!(AtomicU8, AtomicU16, AtomicU32, AtomicU64);

// SAFETY: a pthread mutex is `repr(C)`, made for shared memory and without drop glue; `init` runs before it is used.
unsafe impl Shared for RobustMutex {
    const SIGNATURE: u64 = sign_number(sign(0, "RobustMutex"), size_of::<RobustMutex>() as u64);

    fn may_unmap(&self) -> bool {
        !self.is_held_by_this_process()
    }
}

// SAFETY: an array of a shared type is laid out as its elements.
unsafe impl<T: Shared, const N: usize> Shared for [T; N] {
    const SIGNATURE: u64 = sign_number(sign_number(0, T::SIGNATURE), N as u64);

    fn may_unmap(&self) -> bool {
        self.iter().all(T::may_unmap)
    }
}

/// The root of a mapping: a [`Shared`] struct with a kind that [`Mapping::open`] checks.
pub(crate) trait Layout: Shared {
    /// Eight letters that identify this layout.
    const KIND: &'static [u8; 8];
}

/// Declares a `repr(C)` struct that is [`Shared`](crate::sys::shm::Shared), with fields that all are.
///
/// With `= b"KIND    "` after the name it is also a [`Layout`](crate::sys::shm::Layout), the root of a mapping; `+ [T]`
/// after that names a struct stored in its tail, so that the signature covers its layout too.
macro_rules! shared_layout {
    ($(#[$attr:meta])* $vis:vis struct $name:ident $(= $kind:literal $(+ [$tail:ty])?)? {
        $($(#[$field_attr:meta])* $field_vis:vis $field:ident: $ty:ty),* $(,)?
    }) => {
        $(#[$attr])*
        #[repr(C)]
        $vis struct $name { $($(#[$field_attr])* $field_vis $field: $ty),* }

        #[allow(unsafe_code, reason = "the macro of sys, which states the reason below")]
        const _: () = {
            // SAFETY: the macro makes the struct `repr(C)`, and the calls in `may_unmap` compile only if each field is
            // `Shared`; such a struct has no pointer and no drop glue, and zeroed memory is valid.
            unsafe impl $crate::sys::shm::Shared for $name {
                const SIGNATURE: u64 = {
                    use $crate::sys::shm::{Shared, sign, sign_number};
                    let hash = sign(sign(0, env!("CARGO_PKG_VERSION")), stringify!($name));
                    $(let hash = sign_number(sign(hash, stringify!($field)), <$ty as Shared>::SIGNATURE);)*
                    $($(let hash = sign_number(sign(hash, "tail"), <$tail as Shared>::SIGNATURE);)?)?
                    hash
                };

                fn may_unmap(&self) -> bool {
                    true $(&& $crate::sys::shm::Shared::may_unmap(&self.$field))*
                }
            }
        };
        $(impl $crate::sys::shm::Layout for $name {
            const KIND: &'static [u8; 8] = $kind;
        })?
    };
}
pub(crate) use shared_layout;

shared_layout! {
    struct Header {
        kind: AtomicU64,
        signature: AtomicU64,
        ready: AtomicU64,
        tail_bytes: AtomicU64,
        /// The number of the object in this memory.
        number: AtomicU64,
    }
}

/// `T` starts on its own cache line, and so does the tail when `T`'s size is a multiple of 64.
const LAYOUT_OFFSET: usize = 64;

/// Sizes from which available memory is checked first: checking takes as long as clearing this many bytes.
const LARGE: usize = 1 << 20;

/// Growth of a sparse tail between two checks of available memory.
const GROWTH: u64 = 4 << 20;

/// Starts or extends the [signature](Shared::SIGNATURE) of a layout: FNV-1a.
pub(crate) const fn sign(mut hash: u64, text: &str) -> u64 {
    let bytes = text.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(0x100_0000_01b3);
        index += 1;
    }
    // Marks the end, so that part of one word never collides with another word.
    (hash ^ 0xff).wrapping_mul(0x100_0000_01b3)
}

/// Extends a signature by a number.
pub(crate) const fn sign_number(hash: u64, number: u64) -> u64 {
    (hash ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

/// A `T` and its tail bytes, in memory that other processes map too.
///
/// Clones share the mapping; dropping the last one unmaps the memory.
pub(crate) struct Mapping<T: Layout> {
    // A copy of what `owner` holds, so that access goes through one pointer.
    layout: NonNull<T>,
    tail_len: usize,
    owner: Arc<Owner<T>>,
}

/// Unmaps the memory on drop.
struct Owner<T: Layout> {
    layout: NonNull<T>,
    len: usize,
    memfd: Arc<OwnedFd>,
}

impl<T: Layout> Clone for Mapping<T> {
    fn clone(&self) -> Self {
        Mapping { owner: Arc::clone(&self.owner), ..*self }
    }
}

// SAFETY: the mapping is plain memory at a fixed address; all access goes through `&T`, which is `Sync`, or through
// copies that the caller's protocol orders.
unsafe impl<T: Layout> Send for Mapping<T> {}
// SAFETY: as for `Send`.
unsafe impl<T: Layout> Sync for Mapping<T> {}
// SAFETY: as for `Mapping`; it only unmaps on drop, which any thread may do.
unsafe impl<T: Layout> Send for Owner<T> {}
// SAFETY: as for `Send`.
unsafe impl<T: Layout> Sync for Owner<T> {}

impl<T: Layout> Mapping<T> {
    /// Creates zeroed shared memory for a `T` and `tail_len` bytes, and lets `init` prepare it before it can be shared.
    pub(crate) fn create(tail_len: usize, init: impl FnOnce(&T) -> io::Result<()>) -> io::Result<Self> {
        Self::create_sparse(tail_len, tail_len, init)
    }

    /// As [`create`](Self::create), but allocates memory only for the first `solid_len` bytes of the tail.
    ///
    /// The rest must be allocated with [`populate`](Self::populate) before it is accessed: a page that the kernel
    /// cannot provide is an error there, but a SIGBUS in an access.
    pub(crate) fn create_sparse(
        tail_len: usize,
        solid_len: usize,
        init: impl FnOnce(&T) -> io::Result<()>,
    ) -> io::Result<Self> {
        let too_large = || io::Error::from(Errno::ENOMEM);
        let len = Self::tail_offset().checked_add(tail_len).ok_or_else(too_large)?;
        let solid_len = Self::tail_offset() + solid_len.min(tail_len);
        if solid_len > LARGE {
            check_available(solid_len as u64)?;
        }
        fork::note_origin()?;
        let memfd = memfd::create("ipc_demo")?;
        memfd::set_len(&memfd, len as u64)?;
        fallocate(&memfd, FallocateFlags::empty(), 0, solid_len as libc::off_t)?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&memfd, FcntlArg::F_ADD_SEALS(seals))?;
        let mapping = Self::map(memfd.into(), len)?;
        init(&mapping)?;
        let header = mapping.header();
        header.kind.store(u64::from_le_bytes(*T::KIND), Ordering::Relaxed);
        header.signature.store(T::SIGNATURE, Ordering::Relaxed);
        header.tail_bytes.store(tail_len as u64, Ordering::Relaxed);
        header.number.store(number::next(), Ordering::Relaxed);
        // pairs with: the load in `open`
        header.ready.store(1, Ordering::Release);
        Ok(mapping)
    }

    /// Maps memory that another process created, after checking that it is a finished `T` of this build.
    pub(crate) fn open(memfd: impl Into<Arc<OwnedFd>>) -> io::Result<Self> {
        fork::note_origin()?;
        let memfd = memfd.into();
        let len = usize::try_from(fstat(&memfd)?.st_size).unwrap_or(0);
        if len < Self::tail_offset() {
            return Err(invalid("is too short for its kind"));
        }
        let seals = SealFlag::from_bits_truncate(fcntl(&memfd, FcntlArg::F_GET_SEALS)?);
        if !seals.contains(SealFlag::F_SEAL_SHRINK) {
            return Err(invalid("is not sealed against shrinking"));
        }
        let mapping = Self::map(memfd, len)?;
        let header = mapping.header();
        // pairs with: the store in `create`
        if header.ready.load(Ordering::Acquire) != 1 {
            return Err(invalid("was never finished by its creator"));
        }
        if header.kind.load(Ordering::Relaxed) != u64::from_le_bytes(*T::KIND) {
            return Err(invalid("is of another kind"));
        }
        if header.signature.load(Ordering::Relaxed) != T::SIGNATURE
            || header.tail_bytes.load(Ordering::Relaxed) != mapping.tail_len as u64
        {
            return Err(invalid("was made by another version of ipc_demo"));
        }
        Ok(mapping)
    }

    const fn tail_offset() -> usize {
        LAYOUT_OFFSET + size_of::<T>()
    }

    /// Maps all `len` bytes of the file, at least `tail_offset()`.
    fn map(memfd: Arc<OwnedFd>, len: usize) -> io::Result<Self> {
        const { assert!(align_of::<T>() <= LAYOUT_OFFSET && size_of::<Header>() <= LAYOUT_OFFSET) };
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: `mmap` gets a length above zero (by this function's contract) and an open descriptor (an `OwnedFd`
        // that outlives the call). The kernel chooses the address, so no other pointer into it exists; only `drop`
        // unmaps it.
        let base = unsafe { libc::mmap(ptr::null_mut(), len, protection, libc::MAP_SHARED, memfd.as_raw_fd(), 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast::<u8>()).expect("mmap never returns null without MAP_FIXED");
        // SAFETY: `len` is at least `tail_offset()`, which is above `LAYOUT_OFFSET`.
        let layout = unsafe { base.add(LAYOUT_OFFSET) }.cast::<T>();
        let tail_len = len - Self::tail_offset();
        Ok(Mapping { layout, tail_len, owner: Arc::new(Owner { layout, len, memfd }) })
    }

    fn header(&self) -> &Header {
        // SAFETY: the mapping begins this far before the layout.
        let base = unsafe { self.layout.byte_sub(LAYOUT_OFFSET) };
        // SAFETY: the mapping begins with a `Header`, page-aligned, zeroed or written by a peer, which `Shared` allows.
        unsafe { base.cast::<Header>().as_ref() }
    }

    /// The descriptor to send to another process.
    pub(crate) fn memfd(&self) -> &Arc<OwnedFd> {
        &self.owner.memfd
    }

    /// Returns the number of the object in this memory, the same in every process that has it.
    pub(crate) fn number(&self) -> u64 {
        self.header().number.load(Ordering::Relaxed)
    }

    /// Length of the tail in bytes.
    pub(crate) fn tail_len(&self) -> usize {
        self.tail_len
    }

    /// Returns as much of the tail as fits, as a slice of `A`. Not for a tail that is copied in and out as bytes.
    #[inline]
    pub(crate) fn tail_as<A: Shared>(&self) -> &[A] {
        const { assert!(Self::tail_offset().is_multiple_of(align_of::<A>())) };
        let first = self.tail_at(0, 0).cast::<A>();
        // SAFETY: the tail begins at a multiple of `A`'s alignment behind a page's begin (the assertion) and holds this
        // many `A` (the division); `Shared` allows any content and any change under a `&A`; it lives as long as `self`.
        unsafe { std::slice::from_raw_parts(first, self.tail_len / size_of::<A>()) }
    }

    /// Copies `bytes` into the tail at `offset`.
    ///
    /// # Panics
    /// If they do not fit: callers must validate offsets read from shared memory first.
    #[inline]
    pub(crate) fn copy_in(&self, offset: usize, bytes: &[u8]) {
        let place = self.tail_at(offset, bytes.len());
        // SAFETY: `tail_at` checked that the range lies in the mapping, which is only covered by references to `Shared`
        // types (no `&mut`, all of it interior-mutable); private memory cannot overlap it. The caller's protocol
        // determines which process may write when.
        unsafe { copy(bytes.as_ptr(), place, bytes.len()) };
    }

    /// Fills `bytes` from the tail at `offset`.
    ///
    /// # Panics
    /// If the tail is too short: callers must validate offsets read from shared memory first.
    #[inline]
    pub(crate) fn copy_out(&self, offset: usize, bytes: &mut [u8]) {
        let place = self.tail_at(offset, bytes.len());
        // SAFETY: as in `copy_in`, in the other direction.
        unsafe { copy(place, bytes.as_mut_ptr(), bytes.len()) };
    }

    /// Returns bytes of the tail where they are.
    ///
    /// Only for bytes that no process writes as long as the slice exists: the caller's protocol makes sure of that.
    ///
    /// # Panics
    /// If the tail is too short: callers must validate offsets read from shared memory first.
    #[inline]
    pub(crate) fn bytes(&self, offset: usize, len: usize) -> &[u8] {
        let place = self.tail_at(offset, len);
        // SAFETY: `tail_at` checked that the bytes lie in the mapping, which outlives `&self`; shared memory is always
        // initialised. Only processes with this library have the memfd, and they have the same protocol (`open` compares
        // signatures): a byte is written only by the process that owns its memory, and memory gets an owner only when no
        // item in it can still be read.
        unsafe { std::slice::from_raw_parts(place, len) }
    }

    /// As [`bytes`](Self::bytes), to write.
    ///
    /// Only for bytes that nobody else accesses as long as the slice exists: the caller's protocol makes sure of that.
    ///
    /// # Panics
    /// As [`bytes`](Self::bytes).
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "the memory is shared: its owner stands in it")]
    pub(crate) fn bytes_mut(&self, offset: usize, len: usize) -> &mut [u8] {
        let place = self.tail_at(offset, len);
        // SAFETY: as in `bytes`. The process that owns the memory hands it to one writer, and nobody reads what no item
        // contains yet.
        unsafe { std::slice::from_raw_parts_mut(place, len) }
    }

    /// Prefetches the cache lines of the tail that begin in `range`, which may lie outside.
    #[inline]
    pub(crate) fn prefetch_to_write(&self, range: Range<usize>) {
        let tail = self.layout.as_ptr().cast::<u8>().wrapping_add(size_of::<T>());
        range.step_by(64).for_each(|offset| prefetch_to_write(tail.wrapping_add(offset)));
    }

    /// Returns the first page boundary in the tail at or after `offset`.
    pub(crate) fn at_page(offset: usize) -> usize {
        (Self::tail_offset() + offset).next_multiple_of(page_bytes()) - Self::tail_offset()
    }

    /// Returns a reference to the shared value in the tail at `offset`.
    ///
    /// # Panics
    /// If it is not aligned or not entirely in the tail: callers must validate offsets read from shared memory first.
    #[inline]
    pub(crate) fn shared_at<U: Shared>(&self, offset: usize) -> &U {
        let place = self.tail_at(offset, size_of::<U>()).cast::<U>();
        assert!(place.is_aligned(), "{offset} is no place for a {}", std::any::type_name::<U>());
        // SAFETY: `tail_at` checked that the value lies in the mapping, which outlives `&self`; it is aligned (the line
        // above); `Shared` allows any content and change by others.
        unsafe { &*place }
    }

    /// Returns the `len` values in the tail that begin at `offset`.
    ///
    /// # Panics
    /// As [`shared_at`](Self::shared_at).
    pub(crate) fn shared_slice<U: Shared>(&self, offset: usize, len: usize) -> SharedSlice<T, U> {
        let place = self.tail_at(offset, len * size_of::<U>()).cast::<U>();
        assert!(place.is_aligned(), "{offset} is no place for a {}", std::any::type_name::<U>());
        let first = NonNull::new(place).expect("a mapping is not at address 0");
        SharedSlice { first, len, _mapping: self.clone() }
    }

    /// Allocates `len` bytes of the tail at `offset`, rounded to whole pages, in this process and in the file.
    ///
    /// # Errors
    /// If there is not enough memory.
    ///
    /// # Standard
    /// `madvise(2)` `MADV_POPULATE_WRITE`, Linux 5.14.
    pub(crate) fn populate(&self, offset: usize, len: usize) -> io::Result<()> {
        let start = self.tail_at(offset, len);
        let resident = self.resident_bytes()?;
        if resident / GROWTH != (resident + len as u64) / GROWTH {
            check_available(GROWTH.max(len as u64))?;
        }
        let into_page = start.addr() % page_bytes();
        // SAFETY: the mapping starts on a page boundary at or before `start`, so the start of the page lies in it too;
        // the advice touches pages without changing their content and fails on what is not mapped.
        let advised =
            unsafe { libc::madvise(start.wrapping_sub(into_page).cast(), len + into_page, libc::MADV_POPULATE_WRITE) };
        match Errno::result(advised) {
            Ok(_) => Ok(()),
            // The error of a page fault for which the file cannot get another page.
            Err(Errno::EFAULT) => Err(Errno::ENOMEM.into()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Frees the memory of the whole pages within `len` bytes of the tail at `offset`. Their content is lost.
    pub(crate) fn release(&self, offset: usize, len: usize) -> io::Result<()> {
        let start = (Self::tail_offset() + offset).next_multiple_of(page_bytes());
        let end = (Self::tail_offset() + offset + len).min(self.owner.len) / page_bytes() * page_bytes();
        if start < end {
            let punch = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            fallocate(self.memfd(), punch, start as libc::off_t, (end - start) as libc::off_t)?;
        }
        Ok(())
    }

    /// Returns how much memory the whole mapping uses at present.
    pub(crate) fn resident_bytes(&self) -> io::Result<u64> {
        Ok(fstat(self.memfd())?.st_blocks as u64 * 512)
    }

    #[inline]
    fn tail_at(&self, offset: usize, len: usize) -> *mut u8 {
        let fits = offset.checked_add(len).is_some_and(|end| end <= self.tail_len);
        assert!(fits, "{len} bytes at {offset} lie outside a shared tail of {} bytes", self.tail_len);
        // SAFETY: `offset` is at most `tail_len`, so the sum lies within the mapping's `len` bytes or one past them.
        unsafe { self.layout.as_ptr().cast::<u8>().add(size_of::<T>() + offset) }
    }
}

/// Values in the tail of a mapping, whose place was checked once.
pub(crate) struct SharedSlice<T: Layout, U> {
    first: NonNull<U>,
    len: usize,
    _mapping: Mapping<T>,
}

// SAFETY: as for `Mapping`: all access goes through `&U`, and a `Shared` type is `Sync`.
unsafe impl<T: Layout, U: Shared> Send for SharedSlice<T, U> {}
// SAFETY: as for `Send`.
unsafe impl<T: Layout, U: Shared> Sync for SharedSlice<T, U> {}

impl<T: Layout, U: Shared> SharedSlice<T, U> {
    /// Returns the value with this index.
    ///
    /// # Panics
    /// If there is none: callers must validate indices read from shared memory first.
    #[inline]
    pub(crate) fn at(&self, index: usize) -> &U {
        assert!(index < self.len, "{index} is not the index of one of {} shared values", self.len);
        // SAFETY: `Mapping::shared_slice` checked the place of all `len` values.
        let place = unsafe { self.first.add(index) };
        // SAFETY: the mapping lives as long as this; `Shared` allows any content and change by others.
        unsafe { place.as_ref() }
    }

    /// Returns `len` values from the one with index `start` on.
    ///
    /// # Panics
    /// As [`at`](Self::at).
    #[inline]
    pub(crate) fn range(&self, start: usize, len: usize) -> &[U] {
        let is_inside = start <= self.len && len <= self.len - start;
        assert!(is_inside, "{len} values from {start} on are not in {} shared values", self.len);
        // SAFETY: `Mapping::shared_slice` checked the place of all `self.len` values.
        let place = unsafe { self.first.add(start) };
        // SAFETY: the mapping lives as long as this; `Shared` allows any content and change by others.
        unsafe { std::slice::from_raw_parts(place.as_ptr(), len) }
    }
}

/// Prefetches for writing what is `ahead` values behind each of `values`, as another processor may have it. Does nothing if
/// there is nothing, or no such instruction.
///
/// # Standard
/// x86 `PREFETCHW`.
#[inline]
pub(crate) fn prefetch_ahead<U: Shared>(values: &[U], ahead: usize) {
    values.iter().for_each(|value| prefetch_to_write(ptr::from_ref(value).wrapping_add(ahead).cast()));
}

/// Prefetches a cache line that this process is going to write soon.
#[inline]
fn prefetch_to_write(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // The intrinsic function becomes a prefetch for reading where the target is any x86-64 processor.
    // SAFETY: a prefetch reads and writes nothing, and of an address that is not mapped it does nothing at all. Processors
    // without this instruction take it for one that does nothing.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Writes `bytes` into words that other processes may read.
///
/// # Panics
/// If they do not fit.
#[inline]
pub(crate) fn copy_into_words(words: &[AtomicU64], bytes: &[u8]) {
    assert!(bytes.len() <= size_of_val(words), "{} bytes do not fit into {} words", bytes.len(), words.len());
    // SAFETY: they fit; atomics may be written through a shared reference, and private memory cannot overlap shared
    // memory. The caller's protocol determines which process may write when.
    unsafe { copy(bytes.as_ptr(), words.as_ptr().cast::<u8>().cast_mut(), bytes.len()) };
}

/// Fills `bytes` from words that other processes may have written.
///
/// # Panics
/// If there are not as many.
#[inline]
pub(crate) fn copy_from_words(words: &[AtomicU64], bytes: &mut [u8]) {
    assert!(bytes.len() <= size_of_val(words), "{} bytes are not in {} words", bytes.len(), words.len());
    // SAFETY: as in `copy_into_words`, in the other direction.
    unsafe { copy(words.as_ptr().cast::<u8>(), bytes.as_mut_ptr(), bytes.len()) };
}

impl<T: Layout> std::fmt::Debug for Mapping<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The content is shared and may change while it is read.
        f.debug_struct("Mapping").field("memfd", self.memfd()).field("len", &self.owner.len).finish_non_exhaustive()
    }
}

impl<T: Layout> Deref for Mapping<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: `map` and `open` made sure that the mapping holds a `T` behind the header, aligned (a page and 64
        // bytes); `Shared` allows any content; the memory lives until `drop`.
        unsafe { self.layout.as_ref() }
    }
}

impl<T: Layout> Drop for Owner<T> {
    fn drop(&mut self) {
        // SAFETY: `layout` lies in the mapping, which is unmapped only below; `Shared` allows any content.
        let state = unsafe { self.layout.as_ref() };
        // A mutex that this process still owns is linked into its thread's robust list, for example because a guard was
        // forgotten; its memory must then stay for the rest of the process.
        if !state.may_unmap() {
            return;
        }
        let base = self.layout.as_ptr().wrapping_byte_sub(LAYOUT_OFFSET);
        // SAFETY: `base` and `len` are those of our own `mmap`, no reference outlives the last `Mapping`, and no robust
        // list knows the memory (the check above).
        unsafe { libc::munmap(base.cast::<c_void>(), self.len) };
    }
}

/// `memcpy`, inlined for the length of a small message.
///
/// # Safety
/// As [`ptr::copy_nonoverlapping`].
#[inline]
unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    match len {
        // A byte and a number, as a tagged number is read: a load that spans two recent stores has to wait for both.
        9 => {
            // SAFETY: the first byte lies in both places, by the caller's guarantee and the length.
            unsafe { ptr::copy_nonoverlapping(from, to, 1) };
            // SAFETY: so do the other eight.
            unsafe { ptr::copy_nonoverlapping(from.wrapping_add(1), to.wrapping_add(1), 8) };
        }
        8..=16 => {
            // SAFETY: the first eight bytes lie in both places, by the caller's guarantee and the length.
            unsafe { ptr::copy_nonoverlapping(from, to, 8) };
            let last = len - 8;
            // SAFETY: so do the last eight.
            unsafe { ptr::copy_nonoverlapping(from.wrapping_add(last), to.wrapping_add(last), 8) };
        }
        4..8 => {
            // SAFETY: the first four bytes lie in both places, by the caller's guarantee and the length.
            unsafe { ptr::copy_nonoverlapping(from, to, 4) };
            let last = len - 4;
            // SAFETY: so do the last four.
            unsafe { ptr::copy_nonoverlapping(from.wrapping_add(last), to.wrapping_add(last), 4) };
        }
        // SAFETY: the one byte lies in both places, by the caller's guarantee.
        1 => unsafe { ptr::copy_nonoverlapping(from, to, 1) },
        // SAFETY: by the caller's guarantee.
        _ => unsafe { ptr::copy_nonoverlapping(from, to, len) },
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the shared memory {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    shared_layout! {
        struct One = b"test one" { word: AtomicU32, mutex: RobustMutex }
    }
    shared_layout! {
        struct Other = b"test two" { word: AtomicU64 }
    }

    fn second(mapping: &Mapping<One>) -> OwnedFd {
        mapping.memfd().try_clone().expect("a descriptor to spare")
    }

    #[test]
    fn open_sees_what_the_creator_wrote() {
        let one = Mapping::<One>::create(16, |one| {
            one.word.store(5, Ordering::Relaxed);
            one.mutex.init()
        })
        .expect("memory");
        one.copy_in(3, b"hello");
        let again = Mapping::<One>::open(second(&one)).expect("the same kind");
        assert_eq!(again.word.load(Ordering::Relaxed), 5);
        let mut bytes = [0; 5];
        again.copy_out(3, &mut bytes);
        assert_eq!(&bytes, b"hello");
    }

    #[test]
    fn tail_as_atomics_is_the_same_memory_for_everybody() {
        let one = Mapping::<One>::create(11, |one| one.mutex.init()).expect("memory");
        assert_eq!(one.tail_as::<AtomicU32>().len(), 2, "what does not fit is left out");
        one.tail_as::<AtomicU32>()[1].store(9, Ordering::Relaxed);
        let again = Mapping::<One>::open(second(&one)).expect("the same kind");
        assert_eq!(again.tail_as::<AtomicU32>()[1].load(Ordering::Relaxed), 9);
    }

    #[test]
    fn open_refuses_another_kind() {
        let one = Mapping::<One>::create(0, |one| one.mutex.init()).expect("memory");
        let refused = Mapping::<Other>::open(second(&one)).expect_err("an error");
        assert!(refused.to_string().contains("another kind"), "{refused}");
    }

    #[test]
    fn every_change_of_a_layout_changes_its_signature() {
        shared_layout! { #[allow(dead_code, reason = "only its layout counts")] struct Inner { first: AtomicU32, second: AtomicU32 } }
        let one = Inner::SIGNATURE;
        let others = {
            mod swapped {
                use super::super::*;
                shared_layout! { #[allow(dead_code, reason = "only its layout counts")] pub(super) struct Inner { second: AtomicU32, first: AtomicU32 } }
            }
            mod longer {
                use super::super::*;
                shared_layout! { #[allow(dead_code, reason = "only its layout counts")] pub(super) struct Inner { first: AtomicU32, second: AtomicU32, third: AtomicU32 } }
            }
            mod of_another_type {
                use super::super::*;
                shared_layout! { #[allow(dead_code, reason = "only its layout counts")] pub(super) struct Inner { first: AtomicU32, second: [AtomicU16; 2] } }
            }
            [swapped::Inner::SIGNATURE, longer::Inner::SIGNATURE, of_another_type::Inner::SIGNATURE]
        };
        assert!(others.iter().all(|other| *other != one), "{others:?}");
        assert_eq!(<[AtomicU32; 2]>::SIGNATURE, <[AtomicU32; 2]>::SIGNATURE);
        assert_ne!(<[AtomicU32; 2]>::SIGNATURE, <[AtomicU32; 3]>::SIGNATURE);
    }

    #[test]
    fn open_refuses_another_build_of_the_same_kind() {
        mod after {
            use super::super::*;
            shared_layout! {
                #[allow(dead_code, reason = "only its layout counts")]
                pub(super) struct One = b"test one" { mutex: RobustMutex, word: AtomicU32, padding: AtomicU32 }
            }
            shared_layout! { #[allow(dead_code, reason = "only its layout counts")] pub(super) struct Inner { word: AtomicU64 } }
            shared_layout! { #[allow(dead_code, reason = "only its layout counts")] pub(super) struct Tailed = b"tailed  " + [Inner] { word: AtomicU64 } }
        }
        mod before {
            use super::super::*;
            shared_layout! { #[allow(dead_code, reason = "only its layout counts")] pub(super) struct Inner { low: AtomicU32, high: AtomicU32 } }
            shared_layout! { #[allow(dead_code, reason = "only its layout counts")] pub(super) struct Tailed = b"tailed  " + [Inner] { word: AtomicU64 } }
        }
        fn refusal<T: Layout>(memfd: OwnedFd) -> String {
            Mapping::<T>::open(memfd).expect_err("an error").to_string()
        }
        let one = Mapping::<One>::create(0, |one| one.mutex.init()).expect("memory");
        let refused = refusal::<after::One>(second(&one));
        assert!(refused.contains("another version"), "{refused}");
        let tailed = Mapping::<before::Tailed>::create(8, |_| Ok(())).expect("memory");
        let refused = refusal::<after::Tailed>(tailed.memfd().try_clone().expect("a descriptor"));
        assert!(refused.contains("another version"), "the layout of what lies in the tail counts: {refused}");
    }

    #[test]
    fn open_refuses_what_was_never_finished() {
        let memfd = memfd::create("bare").expect("memory");
        memfd::set_len(&memfd, 4096).expect("a size");
        fcntl(&memfd, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK)).expect("a seal");
        let refused = Mapping::<One>::open(memfd).expect_err("an error");
        assert!(refused.to_string().contains("never finished"), "{refused}");
    }

    #[test]
    fn more_than_the_machine_has_is_an_error() {
        for bytes in [1 << 50, usize::MAX / 2, usize::MAX] {
            let refused = Mapping::<One>::create(bytes, |one| one.mutex.init()).expect_err("too much");
            assert_eq!(refused.raw_os_error(), Some(Errno::ENOMEM as i32));
        }
    }

    #[test]
    #[should_panic(expected = "outside a shared tail")]
    fn copy_beyond_the_tail_panics() {
        Mapping::<One>::create(4, |one| one.mutex.init()).expect("memory").copy_in(2, b"abc");
    }

    #[test]
    fn memory_with_a_held_mutex_stays_mapped() {
        let one = Mapping::<One>::create(0, |one| one.mutex.init()).expect("memory");
        let header = NonNull::from(one.header());
        one.mutex.lock(None);
        drop(one);
        // SAFETY: `drop` left the mapping in place, which is what this test is about.
        let kind = &unsafe { header.as_ref() }.kind;
        assert_eq!(kind.load(Ordering::Relaxed), u64::from_le_bytes(*One::KIND));
    }
}

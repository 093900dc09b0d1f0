//! Texts in both languages, and those that many cases use.

/// The same text in English and in Chinese.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Localized {
    pub(super) en: &'static str,
    pub(super) zh: &'static str,
}

pub(super) const fn localized(en: &'static str, zh: &'static str) -> Localized {
    Localized { en, zh }
}

pub(super) const IDLE: Localized = localized("idle", "空闲");
pub(super) const WAITING: Localized = localized("waiting", "等待");
pub(super) const HOLDING: Localized = localized("holding", "持有");
pub(super) const IN_ACQUIRE: Localized = localized("in acquire", "acquire 中");
pub(super) const IN_ACQUIRE_QUEUED: Localized = localized("in acquire, one behind", "acquire 中，后面有人等");
pub(super) const IN_RELEASE: Localized = localized("in release", "release 中");
pub(super) const IN_RELEASE_TO_PEER: Localized = localized("in release, a peer waits", "release 中，有人等");
pub(super) const IN_GET: Localized = localized("in get", "get 中");
pub(super) const IN_GET_QUEUED: Localized = localized("in get, one behind", "get 中，后面有人等");

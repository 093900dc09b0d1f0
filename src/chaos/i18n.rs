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

//! Words in both languages, and those that many cases use.

/// The same in English and in Chinese.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) en: &'static str,
    pub(super) zh: &'static str,
}

pub(super) const fn words(en: &'static str, zh: &'static str) -> Words {
    Words { en, zh }
}

pub(super) const IDLE: Words = words("idle", "空闲");
pub(super) const WAITING: Words = words("waiting", "等待");
pub(super) const HOLDING: Words = words("holding", "持有");

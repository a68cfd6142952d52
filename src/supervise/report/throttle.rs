//! Keeps a crash loop from filling the disk: what is said over and over is said rarely, with a count.
//!
//! Each kind of line has one slot per subject: two logs that can't be opened are two subjects, and their lines in
//! turns are no news. The first few lines of a slot are let through; from then on the same words come once per pause,
//! and tell how often they were held back. Other words, or a longer silence, start over.

use std::time::{Duration, Instant};

/// So many lines of a kind with the same words are let through in a row, unless the line asks for fewer.
pub(crate) const FREE_LINES: u32 = 6;

/// From then on, one line per pause; and a silence this long starts over.
const PAUSE: Duration = Duration::from_secs(600);

/// How many slots a kind may have; of more, the one that was silent longest is forgotten. More than there are secrets
/// in any sensible configuration, each of which may fail.
const SLOTS_MAX: usize = 1024;

/// Remembers what was said.
#[derive(Default)]
pub(crate) struct Throttle {
    slots: Vec<Slot>,
}

struct Slot {
    kind: &'static str,
    subject: String,
    words: String,
    said: u32,
    held_back: u32,
    said_at: Instant,
    seen_at: Instant,
}

/// What to do with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permit {
    /// Say it, and that it was held back so often since it was said last.
    Say(u32),
    /// Hold it back.
    Hold,
}

impl Throttle {
    /// Whether a line of this kind and subject may be said now, of which `free` may be said in a row. `words` is the
    /// part of it that does not change by itself: no times, no pids, no counts.
    pub(crate) fn permit(&mut self, now: Instant, of: (&'static str, &str), words: &str, free: u32) -> Permit {
        let slot = match self.slots.iter().position(|slot| (slot.kind, slot.subject.as_str()) == of) {
            Some(index) => &mut self.slots[index],
            None => self.add(now, of),
        };
        let is_news = slot.words != words || now.saturating_duration_since(slot.seen_at) >= PAUSE;
        if is_news {
            words.clone_into(&mut slot.words);
            (slot.said, slot.held_back) = (0, 0);
        }
        slot.seen_at = now;
        if slot.said < free || now.saturating_duration_since(slot.said_at) >= PAUSE {
            slot.said = slot.said.saturating_add(1);
            slot.said_at = now;
            Permit::Say(std::mem::take(&mut slot.held_back))
        } else {
            slot.held_back = slot.held_back.saturating_add(1);
            Permit::Hold
        }
    }

    /// Forgets all of a kind: what is said of it next is news.
    pub(crate) fn forget(&mut self, kind: &str) {
        self.slots.retain(|slot| slot.kind != kind);
    }

    fn add(&mut self, now: Instant, (kind, subject): (&'static str, &str)) -> &mut Slot {
        let of_kind = || (0..self.slots.len()).filter(|index| self.slots[*index].kind == kind);
        if of_kind().count() >= SLOTS_MAX
            && let Some(oldest) = of_kind().min_by_key(|index| self.slots[*index].seen_at)
        {
            self.slots.swap_remove(oldest);
        }
        let (subject, words) = (subject.to_owned(), String::new());
        self.slots.push(Slot { kind, subject, words, said: 0, held_back: 0, said_at: now, seen_at: now });
        self.slots.last_mut().expect("a slot was pushed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_crashing_every_second_is_some_hundred_lines_not_86_400() {
        let (start, mut throttle) = (Instant::now(), Throttle::default());
        let said = (0..86_400)
            .filter(|second| {
                throttle.permit(start + Duration::from_secs(*second), ("died", ""), "exit code 1", FREE_LINES)
                    != Permit::Hold
            })
            .count();
        assert!((100..=160).contains(&said), "{said} lines");
    }

    #[test]
    fn what_was_held_back_is_counted() {
        let (start, mut throttle) = (Instant::now(), Throttle::default());
        for second in 0..u64::from(FREE_LINES) {
            assert_eq!(
                throttle.permit(start + Duration::from_secs(second), ("died", ""), "x", FREE_LINES),
                Permit::Say(0)
            );
        }
        for second in 0..3 {
            assert_eq!(
                throttle.permit(start + Duration::from_secs(100 + second), ("died", ""), "x", FREE_LINES),
                Permit::Hold
            );
        }
        assert_eq!(throttle.permit(start + Duration::from_secs(620), ("died", ""), "x", FREE_LINES), Permit::Say(3));
    }

    #[test]
    fn other_words_and_other_kinds_are_news() {
        let (now, mut throttle) = (Instant::now(), Throttle::default());
        while throttle.permit(now, ("died", ""), "x", FREE_LINES) != Permit::Hold {}
        assert_eq!(throttle.permit(now, ("died", ""), "y", FREE_LINES), Permit::Say(0));
        assert_eq!(throttle.permit(now, ("started", ""), "x", FREE_LINES), Permit::Say(0));
    }

    #[test]
    fn two_subjects_in_turns_are_held_back_both() {
        let (now, mut throttle) = (Instant::now(), Throttle::default());
        let mut say = |subject| throttle.permit(now, ("log", subject), "", FREE_LINES);
        let said = (0..100).flat_map(|_| ["a", "b"]).filter(|subject| say(subject) != Permit::Hold).count();
        assert_eq!(said, 2 * FREE_LINES as usize);
    }

    #[test]
    fn a_line_may_ask_to_be_said_once() {
        let (now, mut throttle) = (Instant::now(), Throttle::default());
        let permits = ["refused", "refused", "reset"].map(|words| throttle.permit(now, ("sync-failed", ""), words, 1));
        assert_eq!(permits, [Permit::Say(0), Permit::Hold, Permit::Say(0)]);
    }

    #[test]
    fn a_long_silence_starts_over() {
        let (now, mut throttle) = (Instant::now(), Throttle::default());
        while throttle.permit(now, ("died", ""), "x", FREE_LINES) != Permit::Hold {}
        let later = now + PAUSE * 2;
        for _ in 0..FREE_LINES {
            assert!(matches!(throttle.permit(later, ("died", ""), "x", FREE_LINES), Permit::Say(_)));
        }
    }
}

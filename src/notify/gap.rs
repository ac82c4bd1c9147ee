//! How fast mails are begun at a mail server that says that it takes no more, or that cannot be used.
//!
//! There is one mail server, so its refusals are about all mails: where there was one, a gap is kept between the beginnings of two of
//! them. It grows with each such refusal and shrinks with each mail that is taken, so mails leave about as fast as the server
//! takes them, whether it limits connections or mails a second.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::{MAIL_GAP_FORGOTTEN, MAIL_GAPS};

/// The gap between one node's mails. Without a refusal there is none.
#[derive(Debug, Default)]
pub(super) struct MailGap(Option<Slowed>);

#[derive(Debug)]
struct Slowed {
    gap: Duration,
    /// None begins before.
    next: Instant,
    /// When the server said last that it takes no more.
    refused: Instant,
}

impl MailGap {
    /// Whether a mail may begin now; then the next one waits for the gap.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let Some(slowed) = &mut self.0 else { return true };
        if now < slowed.next {
            return false;
        }
        slowed.next = now + slowed.gap;
        if now.duration_since(slowed.refused) >= MAIL_GAP_FORGOTTEN {
            self.0 = None;
        }
        true
    }

    /// The server dealt with the mail that began at `begun`.
    pub(super) fn served(&mut self, begun: Instant) {
        if let Some(slowed) = self.0.as_mut().filter(|slowed| begun >= slowed.refused) {
            slowed.gap = (slowed.gap * 7 / 8).max(MAIL_GAPS.first);
        }
    }

    /// The server took no more when the mail came that began at `begun`. `spread`, from 0 to 1, keeps several nodes apart.
    pub(super) fn refused(&mut self, begun: Instant, now: Instant, spread: f64) {
        let gap = match &self.0 {
            // Of those that were under way together the first says it.
            Some(slowed) if begun < slowed.refused => return,
            Some(slowed) => (slowed.gap * 2).min(MAIL_GAPS.most),
            None => MAIL_GAPS.first,
        };
        let next = now + gap.mul_f64(1.0 + spread.clamp(0.0, 1.0) / 2.0);
        self.0 = Some(Slowed { gap, next, refused: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{MAIL_BACKOFF, MAIL_TURN_WAIT, MAILS_AT_ONCE};

    const STEP: Duration = Duration::from_millis(10);

    /// A mail that is with the server.
    struct SimulatedMail {
        mail: usize,
        begun: Instant,
        ends: Instant,
        taken: bool,
    }

    /// Sends so many owed mails to a server that takes one, when it was begun, if `takes` says so by how many it is dealing with
    /// and when it took the last one. Says how long it took, and how often it refused.
    fn drained(mails: usize, lasts: Duration, takes: impl Fn(usize, Duration) -> bool) -> (Duration, usize) {
        let start = Instant::now();
        let (mut now, mut between, mut asked) = (start, MailGap::default(), start);
        let mut owed: Vec<(usize, Instant, u32)> = (0..mails).map(|mail| (mail, start, 0)).collect();
        let (mut under_way, mut last, mut refusals) = (Vec::<SimulatedMail>::new(), None::<Instant>, 0);
        while !owed.is_empty() {
            let ended: Vec<SimulatedMail> = under_way.extract_if(.., |mail| mail.ends <= now).collect();
            for SimulatedMail { mail, begun, taken, .. } in ended {
                let position = owed.iter().position(|(owed, ..)| *owed == mail).unwrap();
                if taken {
                    between.served(begun);
                    owed.swap_remove(position);
                } else {
                    refusals += 1;
                    between.refused(begun, now, 0.5);
                    let (_, due, tries) = &mut owed[position];
                    *due = now + MAIL_BACKOFF.after(*tries);
                    *tries += 1;
                }
            }
            let mut due: Vec<(Instant, usize)> = owed.iter().map(|(mail, due, _)| (*due, *mail)).collect();
            due.retain(|(due, mail)| *due <= now && !under_way.iter().any(|with| with.mail == *mail));
            due.sort();
            for (_, mail) in due {
                if under_way.len() == MAILS_AT_ONCE || now < asked {
                    break;
                }
                if !between.begin(now) {
                    asked = now + MAIL_TURN_WAIT;
                    break;
                }
                let dealing = under_way.iter().filter(|mail| mail.taken).count();
                let taken = takes(dealing, last.map_or(Duration::MAX, |last| now - last));
                if taken {
                    last = Some(now);
                }
                under_way.push(SimulatedMail { mail, begun: now, ends: now + if taken { lasts } else { STEP }, taken });
            }
            now += STEP;
            assert!(now - start < Duration::from_secs(24 * 60 * 60), "{} are left", owed.len());
        }
        (now - start, refusals)
    }

    #[test]
    fn a_backlog_leaves_about_as_fast_as_the_server_takes_it() {
        let second = Duration::from_secs(1);
        let one_at_a_time = |dealing: usize, _: Duration| dealing == 0;
        let one_a_second = move |_: usize, since: Duration| since >= second;
        let two_a_minute = move |_: usize, since: Duration| since >= 30 * second;
        for (name, (took, refusals), most, refusals_most) in [
            ("no limit", drained(200, second / 10, |_, _| true), 10 * second, 0),
            ("one connection", drained(40, second / 2, one_at_a_time), 60 * second, 25),
            ("one slow connection", drained(40, 13 * second, one_at_a_time), 1_200 * second, 60),
            ("one a second", drained(100, second / 20, one_a_second), 240 * second, 60),
            ("two a minute", drained(40, second / 20, two_a_minute), 2_400 * second, 60),
        ] {
            assert!(took <= most && refusals <= refusals_most, "{name}: {took:?}, {refusals} refusals");
        }
    }

    #[test]
    fn a_refusal_is_forgotten_and_those_that_came_together_are_one() {
        let (start, mut between) = (Instant::now(), MailGap::default());
        assert!(between.begin(start) && between.begin(start));
        let refused = start + STEP;
        between.refused(start, refused, 0.0);
        between.refused(start, refused + STEP, 1.0);
        assert!(!between.begin(refused + MAIL_GAPS.first - STEP));
        let next = refused + MAIL_GAPS.first;
        assert!(between.begin(next) && !between.begin(next));
        between.refused(next, next + STEP, 1.0);
        let apart = next + STEP + MAIL_GAPS.first * 3;
        assert!(!between.begin(apart - STEP) && between.begin(apart));
        let later = next + STEP + MAIL_GAP_FORGOTTEN;
        assert!(between.begin(later) && between.begin(later));
    }
}

//! Laws that hold whatever happens: random operators, producers, endpoints and mail servers drive
//! `State` and `ChatQueues` as the workspace actor does.

mod model;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::event::{Event, MailState};
use super::policy::{Counting, Policy};
use super::scenario::state_of;
use model::{Op, WorkspaceModel};

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => vec(0..4_u8, 1..8).prop_map(Op::Append),
        4 => (1..12_usize, any::<bool>()).prop_map(|(count, backwards)| Op::Arrive { count, backwards }),
        6 => (1..40_usize).prop_map(Op::Turns),
        10 => (any::<Index>(), prop::bool::weighted(0.15))
            .prop_map(|(which, delivered)| Op::End { which, delivered }),
        1 => any::<Index>().prop_map(Op::PutBack),
        1 => (0..6_usize).prop_map(Op::GiveBack),
        1 => Just(Op::Reload),
        1 => (prop::bool::weighted(0.8), any::<bool>(), prop::bool::weighted(0.8))
            .prop_map(|(enabled, mail_begun, owner)| Op::Save { enabled, mail_begun, owner }),
        1 => Just(Op::Rotate),
        1 => Just(Op::Revoke),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(delivered, interrupted)| Op::Test { delivered, interrupted }),
        1 => Just(Op::Forget),
        1 => (0..4_u8).prop_map(Op::Mail),
        1 => prop_oneof![0..2_000_u32, Just(12 * 60 * 60 * 1_000)].prop_map(Op::Wait),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let mails = (prop::bool::weighted(0.9), prop::bool::weighted(0.8), prop::bool::weighted(0.8));
    (prop_oneof![Just(10_u32), 0..8_u32], any::<bool>(), 1..40_u32, mails).prop_map(
        |(error_limit, since_saved, in_flight_max, (mail_server, mail_warning, mail_recovered))| Policy {
            error_limit,
            counting: if since_saved { Counting::SinceSaved } else { Counting::Consecutive },
            in_flight_max,
            mail_server,
            mail_warning,
            mail_recovered,
        },
    )
}

proptest! {
    /// See the assertions of [`WorkspaceModel`].
    #[test]
    fn whatever_happens_the_laws_hold(policy in policy(), ops in vec(op(), 0..120)) {
        let mut model = WorkspaceModel::new(policy);
        model.save(true, false, true);
        ops.into_iter().for_each(|op| model.step(op));
        model.drain();
        prop_assert_eq!(state_of(&model.events), model.state);
    }

    /// As above with an endpoint that only fails, so that the bound is reached every time.
    #[test]
    fn a_dead_endpoint_gets_limit_plus_1_attempts(policy in policy(), ops in vec(op(), 0..60)) {
        let mut model = WorkspaceModel::new(policy);
        model.save(true, false, true);
        model.append(&(0..64).map(|n| n % 16).collect::<Vec<_>>());
        for op in ops {
            match op {
                Op::Save { .. } | Op::Forget => {}
                Op::End { which, .. } => model.step(Op::End { which, delivered: false }),
                other => model.step(other),
            }
        }
        model.drain();
        prop_assert_eq!(model.attempts_since_save, policy.error_limit + 1);
        prop_assert_eq!(model.disabled_since_save, 1);
        let owed = model.events.iter().filter(|event| matches!(event, Event::WebhookDisabled(disabled) if disabled.mail == MailState::Owed)).count();
        prop_assert_eq!(owed, usize::from(policy.mail_server));
    }
}

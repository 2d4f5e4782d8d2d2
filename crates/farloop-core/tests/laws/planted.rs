//! Do the tests of the laws find a core that breaks them? One planted bug each, one test that must fail.

use std::cell::Cell;

use farloop_core::api::Planted;

use crate::{
    acting, answers, cancelling, pace, printing, recovery, retention, running, sessions, streams, syncing, turns,
};

thread_local! {
    /// The bug in every core that this thread makes.
    pub(crate) static PLANTED: Cell<Option<Planted>> = const { Cell::new(None) };
}

#[test]
fn every_planted_bug_fails_the_test_of_its_law() {
    let finder = |bug: Planted| -> fn() {
        match bug {
            Planted::StaleReportAccepted => running::l4_a_report_of_an_older_attempt_changes_nothing_and_is_fenced,
            Planted::CancelLostWhileLeased => {
                cancelling::l6_a_request_that_the_body_never_saw_makes_the_outcome_cancelled
            }
            Planted::ResolveTwice => running::a_failed_attempt_is_repeated_while_its_budget_lasts,
            Planted::CreditLeak => running::l14_a_start_that_never_left_gives_its_credit_back,
            Planted::LostRequeue => running::l16_a_lost_worker_costs_a_crash_until_the_budget_is_spent,
            Planted::NoOwnerCascade => cancelling::l7_an_attempt_that_ends_takes_what_it_awaits,
            Planted::ResumeSkipsOne => sessions::l10_what_happens_during_a_cut_is_told_afterwards_once,
            Planted::DependencyIgnored => running::l22_a_task_starts_with_its_arguments_values_or_not_at_all,
            Planted::UnseenCancelIgnored => {
                cancelling::l6_a_request_that_the_body_never_saw_makes_the_outcome_cancelled
            }
            Planted::DeadlineNotInherited => running::l19_a_deadline_travels_and_work_past_it_never_starts,
            Planted::ScopeForgotten => running::l19_a_call_does_not_start_once_the_scope_it_is_made_in_is_over,
            Planted::SecondBodyAccepted => running::l2_submitting_twice_is_submitting_once,
            Planted::TombstoneForgotten => cancelling::l6_a_cancel_may_come_before_its_task,
            Planted::StalePrintShown => printing::l4_what_an_older_attempt_prints_is_not_shown,
            Planted::PrintsPileUp => printing::l18_a_client_that_takes_nothing_loses_lines_and_is_told_how_many,
            Planted::CompletedTwice => answers::l9_each_task_is_told_once_in_the_order_of_the_ends,
            Planted::WatchSkipsSnapshot => answers::who_watches_sees_what_is_there_and_then_each_change,
            Planted::StreamRestarted => streams::l23_a_stream_that_has_begun_never_starts_again,
            Planted::CreditForgotten => streams::l16_what_the_consumer_takes_is_room_for_the_producer,
            Planted::LimitIgnored => {
                turns::l18_no_more_tasks_of_a_key_run_than_it_allows_over_all_functions_and_workers
            }
            Planted::BackoffIgnored => pace::a_failed_attempt_is_followed_after_a_pause_that_grows,
            Planted::DetailsForgotten => pace::a_silent_attempt_is_fenced_and_the_next_is_given_the_last_details,
            Planted::GraceAfterAnswer => cancelling::patience_runs_from_the_sending_and_anew_from_the_delivery,
            Planted::ForgottenRunsAgain => {
                retention::l2_what_was_forgotten_early_does_not_run_again_and_says_so_at_every_door
            }
            Planted::RequestForgotten => retention::l2_a_request_is_known_again_by_its_name,
            Planted::PermitOfTheDeadKept => syncing::l24_an_attempt_that_ends_lets_go_however_it_ends,
            Planted::TokenReused => syncing::l24_a_lock_has_one_holder_in_order_and_its_tokens_grow,
            Planted::ItemOfTheDeadLost => syncing::l25_an_item_on_its_way_to_one_that_is_lost_goes_back_to_its_place,
            Planted::AckedBeforeDurable => recovery::l1_nothing_is_acknowledged_before_it_is_durable,
            Planted::ToldBeforeDurable | Planted::StartedBeforeDurable => {
                running::records_leave_before_what_rests_on_them
            }
            Planted::HeldLeasedInWindow | Planted::RosterForgotten => {
                recovery::l5_nothing_from_before_starts_until_its_worker_is_back_or_dead
            }
            Planted::EpochNotRaised | Planted::ReturnedAttemptIgnored | Planted::StartsForgotten => {
                recovery::l1_what_ran_goes_on_and_what_waited_is_served
            }
            Planted::StaleEpochAdopted => recovery::l4_an_attempt_that_was_lost_before_stays_lost,
            Planted::CancelCountedTwice => recovery::l6_a_cancel_that_was_counted_is_delivered_after_a_restart_once,
            Planted::CarryForgetsCancel | Planted::CarryForgetsOutcome => {
                recovery::l1_what_was_carried_is_known_without_what_was_said_before
            }
            Planted::CarryForgetsArgument => recovery::l22_an_argument_outlives_the_task_that_returned_it,
            Planted::StartForgotten => recovery::l5_what_may_run_once_is_lost_with_its_worker,
            Planted::DeadlineForgotten => recovery::l19_a_deadline_goes_on_over_a_restart,
            Planted::EndForgotten => recovery::a_submission_says_what_its_records_promise,
            Planted::TokensBeginAgain => syncing::l24_tokens_grow_over_a_restart,
            Planted::CallOvertakes => acting::l12_what_is_tried_again_goes_before_what_waited_behind_it,
            Planted::CallRunsTwice => {
                acting::a_call_whose_incarnation_is_lost_says_that_it_may_have_run_and_others_wait
            }
            Planted::NameGivenTwice => acting::l11_a_name_is_one_actors,
            Planted::LeaseNotWaitedFor => acting::l11_a_named_actor_waits_until_a_lost_worker_must_have_stopped_it,
            Planted::RestartsUncounted => acting::an_actor_starts_again_as_often_as_its_policy_allows,
            Planted::SnapshotForgotten => acting::l1_an_actor_and_its_calls_survive_the_coordinator_in_order,
            other => panic!("{other:?} has no test"),
        }
    };
    for bug in Planted::ALL {
        let test = finder(bug);
        PLANTED.set(None);
        test();
        PLANTED.set(Some(bug));
        let found = std::panic::catch_unwind(test).is_err();
        PLANTED.set(None);
        assert!(found, "{bug:?} passed");
    }
}

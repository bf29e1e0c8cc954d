//! The tools, a file for each thing that they are about.

mod attachment;
mod delivery;
mod expect;
mod holds;
mod inboxes;
mod labels;
mod list;
mod outgoing;
mod queue;
mod read;
mod replies;
mod search;
mod send;
mod threads;
mod wait;

use crate::{api::Api, tool::Entry};

/// In the order in which clients show them.
pub(crate) fn entries<A: Api>() -> Vec<Entry<A>> {
    vec![
        Entry::of::<inboxes::CreateInbox>(),
        Entry::of::<inboxes::ListInboxes>(),
        Entry::of::<list::ListEmails>(),
        Entry::of::<search::SearchEmails>(),
        Entry::of::<read::ReadEmail>(),
        Entry::of::<attachment::ReadAttachment>(),
        Entry::of::<wait::WaitForEmail>(),
        Entry::of::<threads::ListThreads>(),
        Entry::of::<threads::ReadThread>(),
        Entry::of::<send::SendEmail>(),
        Entry::of::<replies::ReplyToEmail>(),
        Entry::of::<replies::ForwardEmail>(),
        Entry::of::<delivery::CancelEmail>(),
        Entry::of::<delivery::GetDeliveryStatus>(),
        Entry::of::<holds::ListHolds>(),
        Entry::of::<labels::UpdateEmails>(),
        Entry::of::<queue::ClaimEmails>(),
        Entry::of::<queue::AckEmail>(),
        Entry::of::<queue::NakEmail>(),
        Entry::of::<queue::ExtendLease>(),
        Entry::of::<expect::ExpectEmail>(),
        Entry::of::<expect::CheckExpectation>(),
        Entry::of::<expect::CancelExpectation>(),
    ]
}

//! Mail that waits to be sent: calling it back.
//!
//! The gateway decides it in the database, under the lock that releasing takes as well, so that the
//! answer holds. Storage announces it.

use axum::{Json, Router, extract::State, routing::post};
use serde::Serialize;
use store::{Cancelled, Writer};
use utoipa::ToSchema;

use crate::{
    caller::Caller, documentation::Errors, gateway::Gateway, params::Segments, problem::Problem,
};

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/v1/emails/{emailId}/cancel", post(cancel))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Cancellation {
    /// Of the email.
    #[schema(example = "eml_0198c0ffee7c7a0e8a5b7d1e2f3a4b5c")]
    id: String,
    #[schema(example = "cancelled")]
    status: &'static str,
}

/// Call an email back
///
/// One that waits: scheduled, held, or queued behind others. It does not go out then, and its status
/// is "cancelled". What is on its way already cannot be called back: 409 "not_cancellable".
#[utoipa::path(
    post, path = "/v1/emails/{emailId}/cancel", operation_id = "cancelEmail", tag = "emails",
    params(("emailId" = String, Path)),
    responses((status = 200, description = "It does not go out", body = Cancellation), Errors)
)]
pub(crate) async fn cancel(
    Caller(account): Caller,
    Segments(email_id): Segments<String>,
    State(writer): State<Writer>,
) -> Result<Json<Cancellation>, Problem> {
    match writer.cancel(&account.id, &email_id).await? {
        Cancelled::Done => Ok(Json(Cancellation { id: email_id, status: "cancelled" })),
        Cancelled::TooLate(status) => Err(too_late(&email_id, &status)),
        Cancelled::Unknown => {
            Err(Problem::not_found(format!("you have sent no email {email_id:?}")))
        }
    }
}

fn too_late(email_id: &str, status: &str) -> Problem {
    let why = match status {
        "queued" | "deferred" => "it is on its way: it has been handed to the sender",
        "rejected" => "it was refused and never goes out",
        "declined" => "somebody declined it, and it never goes out",
        "expired" => "its time was over, and nothing more of it goes out",
        _ => "it has been sent",
    };
    let message = format!("email {email_id} cannot be called back (status {status:?}): {why}");
    Problem::conflict("not_cancellable", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_became_of_the_email() {
        let check = |status: &str, why: &str| {
            let problem = too_late("eml_1", status);
            assert_eq!((problem.status.as_u16(), &*problem.code), (409, "not_cancellable"));
            assert!(problem.message.contains(why), "{}", problem.message);
        };
        check("queued", "on its way");
        check("rejected", "refused");
        check("bounced", "has been sent");
    }
}

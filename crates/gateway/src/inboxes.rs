//! Inboxes: making, listing, looking at, deleting.

use axum::{Json, Router, extract::State, routing::get};
use bus::{Bus, Directory, Resolution};
use mail::Address;
use serde::{Deserialize, Serialize};
use store::{Created, NewInbox, Reader, Writer};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    caller::{Allowed, Caller},
    documentation::{Empty, Errors},
    gateway::{Domains, Gateway},
    local_part,
    octets::Octets,
    params::Segments,
    problem::Problem,
    tier::Tiers,
    waiters::Waiters,
};

/// How often an address chosen at random may turn out to be taken.
const RANDOM_ATTEMPTS: usize = 5;

/// In characters.
const DISPLAY_NAME_LIMIT: usize = 200;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/inboxes", get(list).post(create))
        .route("/v1/inboxes/{inboxId}", get(look).delete(delete))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct InboxRequest {
    /// The name that recipients see beside the address.
    display_name: Option<String>,
    /// What stands before the "@": 3 to 64 of a-z, 0-9, ".", "_" and "-". Chosen at random without.
    local_part: Option<String>,
    /// One of the domains of this service, or a verified one of yours; the service's first one without.
    domain: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Inbox {
    #[schema(example = "ibx_0198c0ffee7c7a0e8a5b7d1e2f3a4b5c")]
    id: String,
    #[schema(example = "agent-k3x9q2mf@posthouse.localhost")]
    address: String,
    #[schema(required)]
    display_name: Option<String>,
    domain: String,
    /// False once deleted.
    is_active: bool,
    /// Mails received.
    email_count: i64,
    #[schema(required)]
    expires_at: Option<String>,
    created_at: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Inboxes {
    data: Vec<Inbox>,
}

impl From<store::Inbox> for Inbox {
    fn from(inbox: store::Inbox) -> Inbox {
        Inbox {
            id: inbox.id,
            address: inbox.address,
            display_name: inbox.display_name,
            domain: inbox.domain,
            is_active: inbox.is_active,
            email_count: inbox.email_count,
            expires_at: inbox.expires_at.map(store::rfc3339),
            created_at: store::rfc3339(inbox.created_at),
        }
    }
}

/// The account's inbox, unless it is deleted: what is in a deleted one cannot be reached.
pub(crate) async fn active(
    reader: &Reader,
    account_id: &str,
    inbox_id: &str,
) -> Result<store::Inbox, Problem> {
    let inbox = reader.inbox(account_id, inbox_id).await?;
    inbox.filter(|it| it.is_active).ok_or_else(|| unknown(inbox_id))
}

pub(crate) fn unknown(inbox_id: &str) -> Problem {
    Problem::not_found(format!("you have no inbox {inbox_id:?}"))
}

/// Make an inbox
///
/// From when this answers, the inbox takes mail. A request that was answered with 503 can be repeated.
#[utoipa::path(
    post, path = "/v1/inboxes", operation_id = "createInbox", tag = "inboxes",
    request_body(content = Option<InboxRequest>, description = "May be empty"),
    responses((status = 200, description = "The new inbox", body = Inbox), Errors)
)]
pub(crate) async fn create(
    Caller(account): Caller,
    State(domains): State<Domains>,
    State(tiers): State<Tiers>,
    State(maker): State<Maker>,
    body: Octets,
) -> Result<Json<Inbox>, Problem> {
    let request: InboxRequest = body.json()?;
    let domain = maker.domain(&account.id, request.domain, &domains).await?;
    let display_name = display_name(request.display_name)?;
    let local_part = request.local_part.as_deref().map(local_part::check).transpose()?;
    let max_inboxes = tiers.of(account.tier).max_inboxes;

    let attempts = if local_part.is_some() { 1 } else { RANDOM_ATTEMPTS };
    for attempt in 1..=attempts {
        let local = match &local_part {
            Some(local) => local.clone(),
            None => local_part::random().map_err(Problem::internal)?,
        };
        let address = format!("{local}@{domain}");
        let canonical = address.parse::<Address>().map_err(Problem::internal)?.canonical();
        let inbox = NewInbox {
            id: format!("ibx_{}", Uuid::now_v7().simple()),
            account_id: account.id.clone(),
            address,
            canonical,
            domain: domain.clone(),
            display_name: display_name.clone(),
            expires_at: None,
            max_inboxes,
        };
        match maker.make(&inbox).await {
            Err(problem) if problem.code == "address_collision" && attempt < attempts => (),
            made => return made.map(|it| Json(it.into())),
        }
    }
    Err(Problem::internal(anyhow::anyhow!("{attempts} random addresses were all taken")))
}

/// What making an inbox touches.
#[derive(Clone)]
pub(crate) struct Maker {
    reader: Reader,
    writer: Writer,
    bus: Bus,
    directory: Directory,
}

impl axum::extract::FromRef<Gateway> for Maker {
    fn from_ref(gateway: &Gateway) -> Maker {
        Maker {
            reader: Reader::from_ref(gateway),
            writer: Writer::from_ref(gateway),
            bus: Bus::from_ref(gateway),
            directory: Directory::from_ref(gateway),
        }
    }
}

impl Maker {
    async fn domain(
        &self,
        account_id: &str,
        asked: Option<String>,
        Domains(served): &Domains,
    ) -> Result<String, Problem> {
        let Some(asked) = asked else { return Ok(served[0].clone()) };
        let normalized = normalized(&asked);
        if served.contains(&normalized)
            || self.reader.verified_domain(account_id, &normalized).await?.is_some()
        {
            return Ok(normalized);
        }
        let own = self.reader.domains(account_id).await?;
        let known = own.iter().find(|it| it.domain == normalized);
        Err(unknown_domain(&asked, served, known))
    }

    /// First the database, which alone can tell who is first, then the directory, so that every
    /// intake takes its mail before anybody hears of the address.
    async fn make(&self, inbox: &NewInbox) -> Result<store::Inbox, Problem> {
        if !self.bus.is_connected() {
            return Err(Problem::unavailable("NATS cannot be reached now; no inbox was made"));
        }
        let made = match self.writer.create_inbox(inbox).await? {
            Created::Inbox(made) => made,
            Created::LimitReached => {
                let most = inbox.max_inboxes.unwrap_or_default();
                let message = format!("this account's tier has at most {most} inboxes: delete one");
                return Err(Problem::insufficient_tier(message));
            }
            Created::AddressCollision => self.unfinished(inbox).await?,
        };
        let entered = self.directory.add_inbox(&inbox.canonical, &made.account_id, &made.id).await;
        entered.map_err(|err| {
            Problem::unavailable(
                "NATS did not answer, so the inbox may not take mail yet; repeat the request",
            )
            .caused_by(err.context("enter the inbox into the directory"))
        })?;
        Ok(made)
    }

    /// An inbox of the same account and address that the directory does not know is one whose
    /// making was cut short between the two: the repeated request finishes it. (Storage would, too,
    /// at its next round.)
    async fn unfinished(&self, inbox: &NewInbox) -> Result<store::Inbox, Problem> {
        let collision = || Problem::address_collision(&inbox.address);
        let existing = self.reader.inbox_by_address(&inbox.canonical).await?;
        let existing =
            existing.filter(|it| it.account_id == inbox.account_id).ok_or_else(collision)?;
        let resolved = self.directory.resolve(&inbox.canonical, &inbox.domain).await;
        match resolved {
            Ok(Resolution::UnknownRecipient | Resolution::UnknownDomain) => Ok(existing),
            Ok(Resolution::Inbox { .. }) => Err(collision()),
            Err(err) => Err(Problem::unavailable("NATS did not answer; repeat the request")
                .caused_by(err.context("resolve an address"))),
        }
    }
}

/// In lower case and A-labels; empty if it is no domain.
fn normalized(domain: &str) -> String {
    let address = format!("x@{domain}").parse::<Address>();
    address.map(|it| it.domain().to_owned()).unwrap_or_default()
}

/// `known` is the account's domain of that name, which is not verified.
fn unknown_domain(asked: &str, served: &[String], known: Option<&store::Domain>) -> Problem {
    let what_to_do = match known {
        Some(domain) => format!(
            "it is yours, but not verified: GET /v1/domains/{} says which DNS records it still \
             needs, POST /v1/domains/{}/verify looks for them",
            domain.id, domain.id
        ),
        None => "add a domain of your own with POST /v1/domains, and verify it".to_owned(),
    };
    let message = format!(
        "domain {asked:?} is not one of this service ({}) and not a verified one of yours: \
         {what_to_do}",
        served.join(", ")
    );
    Problem::unprocessable("unknown_domain", message)
}

fn display_name(asked: Option<String>) -> Result<Option<String>, Problem> {
    let Some(name) = asked.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()) else {
        return Ok(None);
    };
    if name.chars().count() > DISPLAY_NAME_LIMIT || name.chars().any(char::is_control) {
        let message =
            format!("displayName: at most {DISPLAY_NAME_LIMIT} characters on one line are taken");
        return Err(Problem::unprocessable("invalid_display_name", message));
    }
    Ok(Some(name))
}

/// The active inboxes, newest first
#[utoipa::path(
    get, path = "/v1/inboxes", operation_id = "listInboxes", tag = "inboxes",
    responses((status = 200, description = "All of them", body = Inboxes), Errors)
)]
pub(crate) async fn list(
    Caller(account): Caller,
    Allowed(grant): Allowed,
    State(reader): State<Reader>,
) -> Result<Json<Inboxes>, Problem> {
    let inboxes = reader.inboxes(&account.id).await?;
    let seen = inboxes.into_iter().filter(|it| grant.sees_inbox(&it.id));
    Ok(Json(Inboxes { data: seen.map(Inbox::from).collect() }))
}

/// One inbox
///
/// Also a deleted one, for the seven days of its grace period.
#[utoipa::path(
    get, path = "/v1/inboxes/{inboxId}", operation_id = "getInbox", tag = "inboxes",
    params(("inboxId" = String, Path)),
    responses((status = 200, description = "The inbox", body = Inbox), Errors)
)]
pub(crate) async fn look(
    Caller(account): Caller,
    Segments(inbox_id): Segments<String>,
    State(reader): State<Reader>,
) -> Result<Json<Inbox>, Problem> {
    let inbox = reader.inbox(&account.id, &inbox_id).await?;
    Ok(Json(inbox.ok_or_else(|| unknown(&inbox_id))?.into()))
}

/// Delete an inbox
///
/// It takes no more mail, and what is in it cannot be reached. It is gone for good after seven days.
#[utoipa::path(
    delete, path = "/v1/inboxes/{inboxId}", operation_id = "deleteInbox", tag = "inboxes",
    params(("inboxId" = String, Path)),
    responses((status = 200, description = "Deleted", body = Empty), Errors)
)]
pub(crate) async fn delete(
    Caller(account): Caller,
    Segments(inbox_id): Segments<String>,
    State(writer): State<Writer>,
    State(directory): State<Directory>,
    State(waiters): State<Waiters>,
) -> Result<Json<Empty>, Problem> {
    let inbox = writer.delete_inbox(&account.id, &inbox_id).await?;
    let inbox = inbox.ok_or_else(|| unknown(&inbox_id))?;
    waiters.wake(&inbox.id);
    let address: Address = inbox.address.parse().map_err(Problem::internal)?;
    // Deleting again changes nothing in the database, and so can be repeated until this works.
    directory.remove_inbox(&address.canonical()).await.map_err(|err| {
        Problem::unavailable(
            "NATS did not answer, so the inbox may still take mail; repeat the request",
        )
        .caused_by(err.context("remove the inbox from the directory"))
    })?;
    Ok(Json(Empty {}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_compared_in_its_own_form() {
        assert_eq!(normalized("Example.COM"), "example.com");
        for asked in ["", "a b", "example.com@example.org"] {
            assert_ne!(normalized(asked), "example.com", "{asked}");
        }
        let problem = unknown_domain("example.org", &["posthouse.localhost".to_owned()], None);
        assert!(problem.message.contains("posthouse.localhost"), "{}", problem.message);
        assert!(problem.message.contains("POST /v1/domains"), "{}", problem.message);
    }

    #[test]
    fn a_display_name_is_one_line() {
        let of = |asked: &str| display_name(Some(asked.to_owned()));
        assert_eq!(of("  Sarah Shield ").expect("name").as_deref(), Some("Sarah Shield"));
        assert_eq!(of(" ").expect("none"), None);
        of("a\r\nBcc: b@example.com").expect_err("refuse");
        of(&"x".repeat(201)).expect_err("refuse");
    }
}

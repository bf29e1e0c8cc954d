//! Domains that accounts bring with them: adding, looking at, verifying, deleting.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRef, State},
    http::header,
    response::IntoResponse,
    routing::{get, post},
};
use bus::Directory;
use mail::Address;
use serde::{Deserialize, Serialize};
use store::{Account, Added, DomainKeys, DomainStatus, NewDomain, Reader, Rotation, Vault, Writer};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    caller::Caller,
    dns_records::Wanted,
    documentation::{Empty, Errors},
    domain_check::{Checker, Looked, TAKEN},
    gateway::{Domains, Gateway},
    octets::Octets,
    params::Segments,
    problem::Problem,
    tier::Tiers,
    zone_file::zone_file,
};

/// The first generation of a domain's DKIM keys; another one would have another name.
const SELECTOR: &str = "ph1";

/// The names of its DKIM records have to fit into 253 octets too.
const LONGEST: usize = 220;

pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/v1/domains", get(list).post(add))
        .route("/v1/domains/{domainId}", get(look).delete(delete))
        .route("/v1/domains/{domainId}/verify", post(verify))
        .route("/v1/domains/{domainId}/zone", get(zone))
        .route("/v1/domains/{domainId}/dkim/rotate", post(rotate))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DomainRequest {
    #[schema(example = "customer.example")]
    domain: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Domain {
    #[schema(example = "dom_0198c0ffee7c7a0e8a5b7d1e2f3a4b5c")]
    id: String,
    domain: String,
    /// "pending_verification", "verified" or "failed".
    status: &'static str,
    dns_records: Vec<DnsRecord>,
    created_at: String,
    #[schema(required)]
    verified_at: Option<String>,
    /// When its records were last looked at.
    #[schema(required)]
    checked_at: Option<String>,
}

/// A record to enter into the domain's DNS, and what is there.
#[derive(Serialize, ToSchema)]
pub(crate) struct DnsRecord {
    /// "TXT", "MX" or "CNAME".
    r#type: &'static str,
    /// The whole name.
    host: String,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u16>,
    /// "ownership", "mx", "spf", "dkim", "dmarc" or "dkim_ed25519"; while keys are rotated "dkim_next"
    /// and "dkim_next_ed25519", for a while after it "dkim_retired" and "dkim_retired_ed25519"; with
    /// aliases "dkim_spare" and "dkim_spare_ed25519".
    purpose: &'static str,
    /// Whether the domain is verified only with it.
    required: bool,
    /// "pending" before the first look; then "verified", "missing", "wrong", or "unreachable" while
    /// name servers do not answer. "retired" and "spare" are not looked for.
    status: String,
    /// In plain words, why it has that status.
    reason: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct DomainList {
    data: Vec<Domain>,
}

fn shown(domain: store::Domain, wanted: Vec<Wanted>) -> Domain {
    let record = |wanted: Wanted| {
        let purpose = wanted.purpose.as_str();
        let check = domain.checks.iter().find(|it| it.name == purpose);
        let (status, reason) = match (wanted.said, check) {
            (Some((status, reason)), _) => (status.to_owned(), reason),
            (None, Some(check)) => (check.status.clone(), check.reason.clone()),
            (None, None) => ("pending".to_owned(), "Nobody has looked for it yet.".to_owned()),
        };
        DnsRecord {
            r#type: wanted.kind,
            host: wanted.host,
            value: wanted.value,
            priority: wanted.priority,
            purpose,
            required: wanted.is_required,
            status,
            reason,
        }
    };
    Domain {
        dns_records: wanted.into_iter().map(record).collect(),
        id: domain.id,
        domain: domain.domain,
        status: domain.status.as_str(),
        created_at: store::rfc3339(domain.created_at),
        verified_at: domain.verified_at.map(store::rfc3339),
        checked_at: domain.checked_at.map(store::rfc3339),
    }
}

fn unknown(domain_id: &str) -> Problem {
    Problem::not_found(format!("you have no domain {domain_id:?}"))
}

/// What the domains' handlers have in common.
#[derive(Clone)]
pub(crate) struct Registrar {
    reader: Reader,
    writer: Writer,
    vault: Arc<Vault>,
    checker: Checker,
}

impl FromRef<Gateway> for Registrar {
    fn from_ref(gateway: &Gateway) -> Registrar {
        Registrar {
            reader: Reader::from_ref(gateway),
            writer: Writer::from_ref(gateway),
            vault: Arc::from_ref(gateway),
            checker: Checker::from_ref(gateway),
        }
    }
}

impl Registrar {
    async fn find(&self, account: &Account, domain_id: &str) -> Result<store::Domain, Problem> {
        let domain = self.reader.domain(&account.id, domain_id).await?;
        domain.ok_or_else(|| unknown(domain_id))
    }

    fn show(&self, domain: store::Domain) -> Domain {
        let wanted = self.checker.wanted(&domain);
        shown(domain, wanted)
    }
}

/// Add a domain of your own
///
/// Its DNS is to get the records that this answers with. They are looked for every few minutes, and on
/// demand; once all required ones are there, inboxes can be made on the domain. Adding it again
/// changes nothing.
#[utoipa::path(
    post, path = "/v1/domains", operation_id = "addDomain", tag = "domains",
    request_body = DomainRequest,
    responses((status = 200, description = "The domain and its records", body = Domain), Errors)
)]
pub(crate) async fn add(
    Caller(account): Caller,
    State(registrar): State<Registrar>,
    State(Domains(own)): State<Domains>,
    State(tiers): State<Tiers>,
    body: Octets,
) -> Result<Json<Domain>, Problem> {
    let request: DomainRequest = body.json()?;
    let domain = name(&request.domain)?;
    if own.contains(&domain) {
        let message =
            format!("{domain} is a domain of this service: make inboxes on it without adding it");
        return Err(Problem::conflict("domain_taken", message));
    }
    let max_domains = tiers.of(account.tier).max_domains;
    if max_domains == Some(0) {
        let message = "this account's tier has no domains of its own";
        return Err(Problem::insufficient_tier(message));
    }
    let wanted = NewDomain {
        id: format!("dom_{}", Uuid::now_v7().simple()),
        account_id: account.id,
        domain,
        dkim_selector: SELECTOR.to_owned(),
        next_check_at: registrar.checker.first_check_at(),
        max_domains,
    };
    // Known ones before keys are made, which is the only costly thing here.
    let own = registrar.reader.domains(&wanted.account_id).await?;
    if let Some(known) = own.into_iter().find(|it| it.domain == wanted.domain) {
        return Ok(Json(registrar.show(known)));
    }
    let keys = tokio::task::spawn_blocking(DomainKeys::generate).await;
    let keys = keys.map_err(Problem::internal)??;
    match registrar.writer.add_domain(&wanted, &keys, &registrar.vault).await? {
        Added::Domain(domain) | Added::Known(domain) => Ok(Json(registrar.show(domain))),
        Added::Taken => Err(Problem::conflict("domain_taken", TAKEN)),
        Added::LimitReached => {
            let most = wanted.max_domains.unwrap_or_default();
            let message = format!("this account's tier has at most {most} domains: delete one");
            Err(Problem::insufficient_tier(message))
        }
    }
}

/// In lower case and A-labels; or why it cannot be a customer's domain.
fn name(asked: &str) -> Result<String, Problem> {
    let invalid = |why: String| {
        let message = format!("domain: {asked:?} {why}; give one like \"customer.example\"");
        Problem::unprocessable("invalid_domain", message)
    };
    let address: Address = format!("x@{}", asked.trim().trim_end_matches('.'))
        .parse()
        .map_err(|err| invalid(format!("is not a domain: {err}")))?;
    let domain = address.domain();
    if domain.starts_with('[') || !domain.contains('.') || asked.contains('@') {
        return Err(invalid("is not a domain that can be yours".to_owned()));
    }
    if domain.len() > LONGEST {
        return Err(invalid(format!("has more than {LONGEST} octets")));
    }
    Ok(domain.to_owned())
}

/// Your domains, newest first
#[utoipa::path(
    get, path = "/v1/domains", operation_id = "listDomains", tag = "domains",
    responses((status = 200, description = "All of them", body = DomainList), Errors)
)]
pub(crate) async fn list(
    Caller(account): Caller,
    State(registrar): State<Registrar>,
) -> Result<Json<DomainList>, Problem> {
    let domains = registrar.reader.domains(&account.id).await?;
    Ok(Json(DomainList { data: domains.into_iter().map(|it| registrar.show(it)).collect() }))
}

/// One of your domains
#[utoipa::path(
    get, path = "/v1/domains/{domainId}", operation_id = "getDomain", tag = "domains",
    params(("domainId" = String, Path)),
    responses((status = 200, description = "The domain", body = Domain), Errors)
)]
pub(crate) async fn look(
    Caller(account): Caller,
    Segments(domain_id): Segments<String>,
    State(registrar): State<Registrar>,
) -> Result<Json<Domain>, Problem> {
    let domain = registrar.find(&account, &domain_id).await?;
    Ok(Json(registrar.show(domain)))
}

/// Look for a domain's records now
///
/// Answers with what was found, within ten seconds.
#[utoipa::path(
    post, path = "/v1/domains/{domainId}/verify", operation_id = "verifyDomain", tag = "domains",
    params(("domainId" = String, Path)),
    responses((status = 200, description = "The domain as it is now", body = Domain), Errors)
)]
pub(crate) async fn verify(
    Caller(account): Caller,
    Segments(domain_id): Segments<String>,
    State(registrar): State<Registrar>,
) -> Result<Json<Domain>, Problem> {
    let domain = registrar.find(&account, &domain_id).await?;
    match registrar.checker.look(&domain, true).await? {
        Looked::Domain(domain) => Ok(Json(registrar.show(*domain))),
        Looked::Taken => Err(Problem::conflict("domain_taken", TAKEN)),
        Looked::Gone => Err(unknown(&domain_id)),
    }
}

/// A domain's records as a zone file
#[utoipa::path(
    get, path = "/v1/domains/{domainId}/zone", operation_id = "exportZone", tag = "domains",
    params(("domainId" = String, Path)),
    responses(
        (status = 200, description = "For name servers that take such files", body = String,
            content_type = "text/plain"),
        Errors
    )
)]
pub(crate) async fn zone(
    Caller(account): Caller,
    Segments(domain_id): Segments<String>,
    State(registrar): State<Registrar>,
) -> Result<impl IntoResponse, Problem> {
    let domain = registrar.find(&account, &domain_id).await?;
    let zone = zone_file(&domain, &registrar.checker.wanted(&domain));
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], zone))
}

/// New DKIM keys for a domain
///
/// Its records say what is to be entered for them: `dkim_next` and `dkim_next_ed25519`. The old keys sign
/// until these are found, and their records may be removed a week later. While new keys are awaited,
/// asking again changes nothing.
#[utoipa::path(
    post, path = "/v1/domains/{domainId}/dkim/rotate", operation_id = "rotateDkimKeys",
    tag = "domains",
    params(("domainId" = String, Path)),
    responses((status = 200, description = "The domain and its records", body = Domain), Errors)
)]
pub(crate) async fn rotate(
    Caller(account): Caller,
    Segments(domain_id): Segments<String>,
    State(registrar): State<Registrar>,
) -> Result<Json<Domain>, Problem> {
    let domain = registrar.find(&account, &domain_id).await?;
    if domain.status != DomainStatus::Verified {
        let message = format!("{} is not verified: it has no keys in use", domain.domain);
        return Err(Problem::conflict("domain_not_verified", message));
    }
    if domain.next_keys.is_some() {
        return Ok(Json(registrar.show(domain)));
    }
    let keys = tokio::task::spawn_blocking(DomainKeys::generate).await;
    let keys = keys.map_err(Problem::internal)??;
    let selector = registrar.checker.next_selector(&domain);
    let (at, vault) = (registrar.checker.first_check_at(), &registrar.vault);
    let started =
        registrar.writer.start_rotation(&account.id, &domain_id, &selector, (&keys, vault), at);
    match started.await? {
        Rotation::Awaited(domain) => Ok(Json(registrar.show(*domain))),
        Rotation::TooSoon(keys) => {
            let until = store::rfc3339(keys.removable_at());
            let message = format!(
                "the keys of {} were changed less than a week ago, and mail signed with {selector} may \
                 still be under way: rotate again after {until}",
                domain.domain
            );
            Err(Problem::conflict("rotation_too_soon", message))
        }
        Rotation::Gone => Err(unknown(&domain_id)),
    }
}

/// Delete a domain
///
/// Its private keys are gone at once. Its inboxes stay and can be read, but take and send no mail
/// until the domain is added and verified again.
#[utoipa::path(
    delete, path = "/v1/domains/{domainId}", operation_id = "deleteDomain", tag = "domains",
    params(("domainId" = String, Path)),
    responses((status = 200, description = "Deleted", body = Empty), Errors)
)]
pub(crate) async fn delete(
    Caller(account): Caller,
    Segments(domain_id): Segments<String>,
    State(registrar): State<Registrar>,
    State(Domains(own)): State<Domains>,
    State(directory): State<Directory>,
) -> Result<Json<Empty>, Problem> {
    let deleted = registrar.writer.delete_domain(&account.id, &domain_id).await?;
    let domain = deleted.ok_or_else(|| unknown(&domain_id))?;
    if domain.status == DomainStatus::Verified && !own.contains(&domain.domain) {
        let inboxes = registrar.reader.inboxes(&account.id).await?;
        let of_domain = inboxes.iter().filter(|it| it.domain == domain.domain);
        let addresses: Vec<_> = of_domain.map(|it| it.address.as_str()).collect();
        // Storage removes the addresses, too, at its next round.
        if let Err(err) = close(&directory, &domain.domain, &addresses).await {
            tracing::warn!(domain.id, "take a domain out of the directory: {err:#}");
        }
    }
    Ok(Json(Empty {}))
}

/// From when this returns, no intake takes mail for the domain.
async fn close(directory: &Directory, domain: &str, addresses: &[&str]) -> anyhow::Result<()> {
    directory.remove_domain(domain).await?;
    let official = ["postmaster", "abuse"].map(|local| format!("{local}@{domain}"));
    for address in addresses.iter().copied().chain(official.iter().map(String::as_str)) {
        directory.remove_inbox(&address.parse::<Address>()?.canonical()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_a_name_with_a_dot() {
        assert_eq!(name(" Customer.Example. ").expect("name"), "customer.example");
        assert_eq!(name("bücher.example").expect("name"), "xn--bcher-kva.example");
        let long = format!("{}.example", ["x".repeat(60).as_str(); 4].join("."));
        for asked in ["", "localhost", "[192.0.2.1]", "a b.example", "a@customer.example", &long] {
            let problem = name(asked).expect_err(asked);
            assert_eq!((problem.status.as_u16(), &*problem.code), (422, "invalid_domain"));
        }
    }
}

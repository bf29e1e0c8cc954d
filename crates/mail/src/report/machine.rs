//! Reports in the forms made for machines: RFC 3464, RFC 5965, RFC 8098.

use super::{
    Notification, Report, ReportAction, ReportKind, ReportedRecipient,
    fields::{Group, address, groups, untyped},
    text,
};
use crate::mime::Tree;

pub(super) fn report(notification: &Notification, tree: &Tree<'_>) -> Option<Report> {
    for at in tree.leaves() {
        let entity = &tree.entities[at];
        let read = match entity.media_type().as_str() {
            "message/delivery-status" | "message/global-delivery-status" => {
                delivery(notification, &groups(&entity.text()))
            }
            "message/feedback-report" => feedback(notification, &groups(&entity.text())),
            "message/disposition-notification" | "message/global-disposition-notification" => {
                disposition(&groups(&entity.text()))
            }
            _ => None,
        };
        if read.is_some() {
            return read;
        }
    }
    // Gateways flatten reports into text.
    let flat = groups(&notification.text);
    let is_delivery = flat.iter().any(|it| it.get("final-recipient").is_some())
        && flat.iter().any(|it| it.get("action").is_some() || it.get("reporting-mta").is_some());
    if is_delivery {
        return delivery(notification, &flat);
    }
    complaint_without_report(notification)
}

fn delivery(notification: &Notification, groups: &[Group]) -> Option<Report> {
    let find = |name: &str| groups.iter().find_map(|it| it.get(name));
    let sections = text::sections(notification);
    let is_recipient =
        |it: &&Group| it.get("final-recipient").or(it.get("original-recipient")).is_some();
    let mut recipients: Vec<ReportedRecipient> =
        groups.iter().filter(is_recipient).map(recipient).collect();
    if recipients.is_empty() {
        // A status about nobody in particular: the text may name them.
        let fields = groups.iter().find(|it| it.get("status").is_some())?;
        let named = text::failed_recipients(notification, &sections);
        recipients = named
            .into_iter()
            .map(|it| ReportedRecipient { address: it.address, ..recipient(fields) })
            .collect();
    }
    let alone = recipients.len() == 1;
    if let [only] = recipients.as_mut_slice()
        && !only.address.contains('@')
        && let Some(known) = forward_path(sections.original(notification))
    {
        // A domain or a file that failed on behalf of the recipient.
        only.original_address = known;
    }
    for it in &mut recipients {
        let own = sections.list.iter().filter(|section| section.is_about(it));
        let own: Vec<&str> = own.map(|it| it.text.as_str()).collect();
        it.notice = if alone { sections.text.clone() } else { own.join(" ") };
    }
    let host = find("reporting-mta").map(untyped).unwrap_or_default();
    (!recipients.is_empty()).then(|| Report {
        kind: ReportKind::Delivery,
        recipients,
        reporting_host: host.to_owned(),
        envelope_id: find("original-envelope-id").unwrap_or_default().to_owned(),
        message_id: notification.message_id(sections.original(notification)),
    })
}

fn recipient(group: &Group) -> ReportedRecipient {
    let action = group.text("action").to_ascii_lowercase();
    let action = action.split(|it: char| !it.is_ascii_alphabetic()).next().unwrap_or_default();
    let last = group.get("final-recipient").map(address).unwrap_or_default();
    let original = group.get("original-recipient").map(address).unwrap_or_default();
    let status = group.text("status");
    let status = crate::classify::enhanced_code(&status).unwrap_or_default().to_owned();
    let diagnostic = group.all("diagnostic-code").map(untyped).collect::<Vec<_>>().join(" ");
    ReportedRecipient {
        address: if last.is_empty() { original.clone() } else { last },
        original_address: original,
        action: match action {
            "delayed" => ReportAction::Delayed,
            "delivered" | "relayed" | "expanded" => ReportAction::Delivered,
            _ if status.starts_with('2') => ReportAction::Delivered,
            _ => ReportAction::Failed,
        },
        status,
        diagnostic,
        remote_host: group.get("remote-mta").map(untyped).unwrap_or_default().to_owned(),
        notice: String::new(),
    }
}

fn feedback(notification: &Notification, groups: &[Group]) -> Option<Report> {
    let find = |name: &str| groups.iter().find_map(|it| it.get(name)).unwrap_or_default();
    let feedback_type = find("feedback-type").to_ascii_lowercase();
    if feedback_type.is_empty() {
        return None;
    }
    let named: Vec<&str> = ["original-rcpt-to", "removal-recipient"]
        .into_iter()
        .flat_map(|name| groups.iter().flat_map(move |it| it.all(name)))
        .collect();
    let recipients = if named.is_empty() {
        original_recipients(&notification.original)
    } else {
        named.into_iter().map(address).collect()
    };
    Some(Report {
        kind: ReportKind::Feedback { feedback_type },
        recipients: about(recipients),
        reporting_host: untyped(find("reporting-mta")).to_owned(),
        envelope_id: find("original-envelope-id").to_owned(),
        message_id: notification.message_id(&notification.original),
    })
}

/// Microsoft's Junk Mail Reporting Program encloses the mail and no report.
fn complaint_without_report(notification: &Notification) -> Option<Report> {
    let subject = notification.subject.trim().to_ascii_lowercase();
    if !subject.starts_with("complaint about message from") || notification.original.is_empty() {
        return None;
    }
    Some(Report {
        kind: ReportKind::Feedback { feedback_type: "abuse".to_owned() },
        recipients: about(original_recipients(&notification.original)),
        reporting_host: String::new(),
        envelope_id: String::new(),
        message_id: notification.message_id(&notification.original),
    })
}

fn disposition(groups: &[Group]) -> Option<Report> {
    let find = |name: &str| groups.iter().find_map(|it| it.get(name));
    // The mode, the type, and modifiers: `automatic-action/MDN-sent-automatically; deleted/expired`.
    let disposition = find("disposition")?.rsplit(';').next().unwrap_or_default();
    let disposition = disposition.split('/').next().unwrap_or_default().trim();
    let disposition = disposition.to_ascii_lowercase();
    let recipient = find("final-recipient").or(find("original-recipient")).map(address);
    let original = find("original-recipient").map(address).unwrap_or_default();
    let mut recipients = about(recipient.into_iter().collect());
    for it in &mut recipients {
        it.original_address.clone_from(&original);
    }
    let id = find("original-message-id").unwrap_or_default().trim_matches(['<', '>', ' ']);
    Some(Report {
        kind: ReportKind::Disposition { disposition },
        recipients,
        reporting_host: find("reporting-ua").unwrap_or_default().to_owned(),
        envelope_id: String::new(),
        message_id: id.to_owned(),
    })
}

/// To whom an enclosed mail came last, as its trace has it (RFC 5321 section 4.4).
fn forward_path(original: &Group) -> Option<String> {
    let traced = original.get("received").and_then(|it| it.split_once(" for "));
    let traced = traced.and_then(|(_, rest)| super::fields::addresses(rest).next());
    let traced = traced.map(|(_, address)| address.to_owned());
    traced.or_else(|| original_recipients(original).pop())
}

/// Whom an enclosed mail was for.
pub(super) fn original_recipients(original: &Group) -> Vec<String> {
    for name in ["x-hmxmroriginalrecipient", "to", "x-original-to", "delivered-to"] {
        let found: Vec<String> = original
            .all(name)
            .flat_map(super::fields::addresses)
            .map(|(_, address)| address.to_owned())
            .collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

fn about(addresses: Vec<String>) -> Vec<ReportedRecipient> {
    let mut recipients: Vec<ReportedRecipient> = Vec::new();
    for address in addresses {
        if !recipients.iter().any(|it| it.address.eq_ignore_ascii_case(&address)) {
            recipients.push(ReportedRecipient {
                address,
                action: ReportAction::Delivered,
                ..ReportedRecipient::default()
            });
        }
    }
    recipients
}

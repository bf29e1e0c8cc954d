//! What a link is for, in words that mails really use. The cases were written before anybody looked at the
//! word lists; those of `HELD_OUT` are for measuring only, and no rule was made after one of them.

use reading::{Mail, Purpose, Reading, links};

/// Subject, what stands before the link, the link's text, its path, and what it is for.
type Case = (&'static str, &'static str, &'static str, &'static str, Purpose);

use Purpose::{Invite, Login, Other, Reset, Verify};

const TOKEN: &str = "4f9d8a7b6c5e4d3c2b1a";

const LOOKED_AT: [Case; 30] = [
    ("Welcome to Acme", "One more step before you can start.", "Verify email", "/v/", Verify),
    ("Please confirm your email", "Click the button below.", "Yes, this is me", "/e/c?t=", Verify),
    (
        "Finish setting up your account",
        "Tap to confirm your address",
        "Continue",
        "/onboarding/",
        Verify,
    ),
    ("Activate your account", "Thanks for signing up!", "Activate now", "/a/", Verify),
    (
        "Your Acme registration",
        "Complete your registration here:",
        "Complete registration",
        "/r/",
        Verify,
    ),
    (
        "Is this your email address?",
        "Let us know it is you.",
        "Yes, that's my address",
        "/ea/",
        Verify,
    ),
    ("Almost there", "Validate your e-mail address to go on.", "Validate", "/val?k=", Verify),
    (
        "Subscribe to our newsletter",
        "Please confirm your subscription.",
        "Yes, subscribe me",
        "/s/",
        Verify,
    ),
    ("Sign in to Acme", "Here is your magic link.", "Sign in", "/m/", Login),
    ("Your login link", "It works for ten minutes.", "Open Acme", "/x/", Login),
    (
        "Log in without a password",
        "Use this link on the same device.",
        "Log me in",
        "/auth?c=",
        Login,
    ),
    ("Acme: your magic link", "Click to get in.", "Let me in", "/ml/", Login),
    (
        "New sign-in request",
        "Somebody wants to sign in. Was it you?",
        "Approve sign-in",
        "/req/",
        Login,
    ),
    ("Reset your password", "We got a request.", "Choose a new password", "/p/", Reset),
    ("Forgot your password?", "No problem, it happens.", "Set new password", "/pw?x=", Reset),
    ("Password help", "You asked to change it.", "Change my password", "/c/", Reset),
    (
        "Account recovery",
        "Use this to recover access to your account.",
        "Recover account",
        "/rec/",
        Reset,
    ),
    ("Tom invited you to Acme", "Tom wants to work with you.", "Join the team", "/j/", Invite),
    ("You have been invited", "Accept to see the project.", "Accept invitation", "/i/", Invite),
    ("Join Sarah on Acme", "Sarah shared a workspace.", "Get started", "/w/", Invite),
    ("Bestätige deine E-Mail-Adresse", "Nur noch ein Klick.", "Adresse bestätigen", "/b/", Verify),
    ("Confirmez votre adresse", "Encore une étape.", "Confirmer mon adresse", "/c?j=", Verify),
    ("Confirma tu correo", "Falta un paso.", "Confirmar mi correo", "/cc/", Verify),
    ("Passwort zurücksetzen", "Du hast darum gebeten.", "Neues Passwort wählen", "/z/", Reset),
    ("Your order has shipped", "It left our warehouse.", "Track your parcel", "/t/", Other),
    ("Your weekly report", "Here is what happened.", "Open the report", "/r/", Other),
    ("Invoice 2041", "Thank you for your business.", "View invoice", "/inv/", Other),
    ("We have updated our terms", "Nothing to do for you.", "Read the terms", "/terms/", Other),
    (
        "Your password was changed",
        "If this was you, ignore this.",
        "Contact support",
        "/help/",
        Other,
    ),
    ("Anna commented on your post", "Nice one!", "See the comment", "/p/", Other),
];

const HELD_OUT: [Case; 30] = [
    ("Thanks for joining Bolt", "Just one last thing.", "Confirm email address", "/k/", Verify),
    ("Please verify your identity", "Press the button.", "It's me", "/id?z=", Verify),
    ("Complete your sign-up", "Follow the link to finish.", "Finish sign-up", "/su/", Verify),
    (
        "Your account is almost ready",
        "Activate it with a click.",
        "Activate account",
        "/go/",
        Verify,
    ),
    (
        "Confirm your registration",
        "You registered with Bolt.",
        "Yes, I registered",
        "/reg?u=",
        Verify,
    ),
    (
        "Check your email address",
        "We need to know that it works.",
        "My address works",
        "/w/",
        Verify,
    ),
    ("One step left", "Verify this address so that we can reach you.", "Click here", "/q/", Verify),
    ("Please confirm: Bolt news", "Confirm that you want our mails.", "Confirm", "/nl?c=", Verify),
    ("Your sign-in link", "Tap below to sign in.", "Sign in to Bolt", "/l/", Login),
    ("Log in to Bolt", "This link expires soon.", "Log in now", "/o/", Login),
    ("Here's your link", "Use it to log in without a password.", "Continue to Bolt", "/y/", Login),
    ("Magic link for Bolt", "As you asked.", "Open magic link", "/mg?m=", Login),
    (
        "Confirm it's you",
        "We noticed a login from a new device.",
        "Allow this login",
        "/dev/",
        Login,
    ),
    ("Password reset request", "Somebody asked for it, hopefully you.", "Reset it", "/n/", Reset),
    ("Create a new password", "Yours has expired.", "Create password", "/np?g=", Reset),
    ("Trouble logging in?", "You can reset your password.", "Get a new one", "/tr/", Reset),
    ("Regain access to your account", "Follow the steps.", "Restore access", "/ra/", Reset),
    ("Mia has invited you", "Come and see.", "Accept invite", "/ac/", Invite),
    (
        "You're invited to a workspace",
        "It is about the launch.",
        "Join workspace",
        "/jw?w=",
        Invite,
    ),
    ("Leo added you to Bolt", "Set up your account to begin.", "Accept and join", "/ad/", Invite),
    (
        "Bitte bestätige deine Anmeldung",
        "Ein Klick genügt.",
        "Anmeldung bestätigen",
        "/an/",
        Verify,
    ),
    ("Vérifiez votre adresse e-mail", "C'est presque fini.", "Vérifier", "/ve?r=", Verify),
    ("Verifica tu cuenta", "Pulsa el botón.", "Verificar cuenta", "/vc/", Verify),
    ("Reimposta la password", "Come richiesto.", "Nuova password", "/rp/", Reset),
    ("Your parcel is on its way", "It comes on Friday.", "Follow it", "/f/", Other),
    ("Your statement is ready", "For the month of May.", "Download", "/d/", Other),
    ("Receipt for your payment", "We got it.", "See the receipt", "/rc/", Other),
    ("Planned maintenance", "On Sunday night.", "Status page", "/st/", Other),
    (
        "You signed in from a new device",
        "If it was you, all is well.",
        "See activity",
        "/act/",
        Other,
    ),
    ("Leo mentioned you", "Have a look.", "Open the thread", "/th/", Other),
];

/// What the first link of a mail is for.
fn purpose((subject, before, text, path, _): &Case) -> Purpose {
    let html = format!("<p>{before}</p><p><a href='https://acme.com{path}{TOKEN}'>{text}</a></p>");
    let mail = Mail { from: "no-reply@acme.com", subject, html: &html, ..Mail::default() };
    links(&Reading::of(mail)).first().map_or(Other, |it| it.purpose)
}

/// Those that are told wrongly.
fn wrong(cases: &[Case]) -> Vec<String> {
    let wrong = cases.iter().filter_map(|case| {
        let found = purpose(case);
        (found != case.4).then(|| format!("{} | {}: {found:?}, not {:?}", case.0, case.2, case.4))
    });
    wrong.collect()
}

#[test]
fn links_are_told_by_the_words_that_mails_use() {
    for (name, cases, most) in [("looked at", &LOOKED_AT, 30), ("held out", &HELD_OUT, 30)] {
        let wrong = wrong(cases);
        assert!(wrong.len() <= most, "{name}: {} of {}: {wrong:#?}", wrong.len(), cases.len());
    }
}

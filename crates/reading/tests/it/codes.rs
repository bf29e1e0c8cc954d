use serde_json::Value;
use reading::{Mail, Reading};
#[test]
fn corpora() {
    let root = "/work/shared/corpora/otp-verification";
    let (mut ok, mut all, mut fp, mut neg, mut lok, mut lall) = (0,0,0,0,0,0);
    for l in std::fs::read_to_string(format!("{root}/expected.jsonl")).unwrap().lines() {
        let c: Value = serde_json::from_str(l).unwrap();
        let t = std::fs::read(format!("{root}/{}", c["file"].as_str().unwrap())).unwrap();
        let b = mail::bodies(&t, 1<<20); let m = mail::parse(&t, 1<<20);
        let from = m.from.first().map(|x| x.address.clone()).unwrap_or_default();
        let r = Reading::of(Mail { from: &from, subject: &m.subject, text: &b.text, html: &b.html, has_plain_text: b.has_plain_text });
        let got = reading::code(&r); let links = reading::links(&r);
        let norm = |s: &str| s.replace([' ','-'], "");
        let exp = c["codes"].as_array().unwrap();
        if exp.is_empty() { neg+=1; if let Some(g)=&got { fp+=1; eprintln!("FP {} got {g}", c["file"]); } }
        else { all+=1; let e = norm(exp[0].as_str().unwrap()); if got.as_deref().map(norm).as_deref()==Some(&*e) {ok+=1} else {eprintln!("XX {} exp {e} got {got:?} subj {}", c["file"], m.subject);} }
        let el = c["links"].as_array().unwrap();
        let top = links.first().filter(|x| x.purpose < reading::Purpose::Other);
        if el.is_empty() { if let Some(t)=top { eprintln!("LFP {} {t:?}", c["file"]); } }
        else { lall+=1; if top.is_some_and(|t| t.url==el[0]["url"].as_str().unwrap()) { lok+=1; let p=format!("{:?}",top.unwrap().purpose).to_lowercase(); if p!=el[0]["purpose"].as_str().unwrap() { eprintln!("purpose {} {p} vs {}", c["file"], el[0]["purpose"]); } } else { eprintln!("LXX {} exp {} got {:?}", c["file"], el[0], links.iter().take(2).collect::<Vec<_>>()); } }
    }
    eprintln!("codes {ok}/{all} fp {fp}/{neg} links {lok}/{lall}");
}

use serde_json::Value;
fn n(s: &str) -> String { s.split_whitespace().collect::<Vec<_>>().join(" ") }
#[test]
fn corpora() {
    for set in ["reply-crisp","reply-discourse","reply-talon"] {
        let root = format!("{}/../../../shared/corpora/{set}", env!("CARGO_MANIFEST_DIR"));
        let root = if std::path::Path::new(&root).is_dir() { root } else { format!("/work/shared/corpora/{set}") };
        let (mut ok, mut all) = (0,0);
        for l in std::fs::read_to_string(format!("{root}/expected.jsonl")).unwrap().lines() {
            let c: Value = serde_json::from_str(l).unwrap();
            let f = c["file"].as_str().unwrap();
            let t = String::from_utf8_lossy(&std::fs::read(format!("{root}/{f}")).unwrap()).into_owned();
            let html = c["format"]=="html";
            let exp = if html { c["expected_reply_text_of_html"].as_str() } else { c["expected_reply"].as_str() };
            let got = { let b = if html { reading::Mail{html:&t,..Default::default()} } else { reading::Mail{text:&t,has_plain_text:true,..Default::default()} }; reading::Reading::of(b).reply_text() };
            let Some(exp)=exp else { 
                if c["expected_signature"].is_null() { eprintln!("-- {} GOT {:?} must {}", c["id"], n(&got).chars().take(120).collect::<String>(), c["reply_must_match"]); if c["nothing_is_cut"]==true && n(&got)!=n(&t) {eprintln!("   CUT!");} }
                continue };
            all+=1;
            if n(exp)==n(&got) {ok+=1} else { let a:String=n(exp).chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect(); let g=n(&got); let b:String=g.chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect(); eprintln!("XX {}\n  exp …{a:?}\n  got …{b:?}", c["id"]); }
        }
        eprintln!("{set}: {ok}/{all}");
    }
}

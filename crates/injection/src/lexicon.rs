//! Words by what they mean to a detector, in the languages mail comes in.
//!
//! A stem matches at the beginning of a word; where a script does not part words, anywhere. Texts and
//! stems are folded the same way, so accents and case do not matter here.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};

use crate::view::{View, fold};

/// What a word or phrase means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Concept {
    /// To set aside.
    Override,
    /// What came before, or what is in force.
    Prior,
    /// What one goes by: instructions, rules, prompts.
    Instruction,
    /// An assistant, a model, an agent.
    Assistant,
    /// Words that speak to an assistant as such.
    Address,
    /// To become somebody else.
    Role,
    /// A persona or mode without limits.
    Unbound,
    /// To show or say.
    Disclose,
    /// What a model was told and should not tell.
    Prompt,
    /// To pass on.
    Send,
    /// Something not to be passed on.
    Secret,
    /// Not telling.
    Conceal,
    /// Those who must not hear of it.
    User,
    /// A new task, or a demand on the answer.
    Task,
    /// Talk about attacks, as in an advisory.
    Security,
}

use Concept::*;

/// A word or phrase in a text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hit {
    pub(crate) concept: Concept,
    pub(crate) range: Range<usize>,
}

pub(crate) struct Lexicon {
    automaton: AhoCorasick,
    concepts: Vec<Concept>,
}

impl Lexicon {
    pub(crate) fn new() -> Lexicon {
        let mut concepts = Vec::new();
        let mut stems = Vec::new();
        for (concept, list) in STEMS {
            for stem in list.split(',').map(str::trim).filter(|it| !it.is_empty()) {
                concepts.push(*concept);
                stems.push(fold(stem));
            }
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(&stems)
            .expect("the lexicon is small");
        Lexicon { automaton, concepts }
    }

    /// The hits in their order; overlapping ones all count.
    pub(crate) fn hits(&self, view: &View) -> Vec<Hit> {
        let text = view.text();
        let mut hits: Vec<Hit> = self
            .automaton
            .find_overlapping_iter(text)
            .filter(|it| begins_word(text, it.start()))
            .map(|it| Hit { concept: self.concepts[it.pattern()], range: it.range() })
            .collect();
        hits.sort_by_key(|it| it.range.start);
        hits
    }
}

/// Whether a word may begin here: after anything but a letter or digit of a script with gaps.
fn begins_word(text: &str, at: usize) -> bool {
    let before = text[..at].chars().next_back();
    let first = text[at..].chars().next();
    !(before.is_some_and(char::is_alphanumeric) && first.is_some_and(parts_words))
}

fn parts_words(it: char) -> bool {
    // Arabic and Hebrew glue articles and prepositions on; Han, Kana and Hangul have no gaps.
    !matches!(it, '\u{590}'..='\u{6ff}' | '\u{900}'..='\u{97f}' | '\u{1100}'..='\u{11ff}'
        | '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}')
}

#[rustfmt::skip]
const STEMS: &[(Concept, &str)] = &[
    (Override, "ignore, ignoring, disregard, forget, override, overrid, bypass, neglect, dismiss, discard, do not follow, don't follow, stop following, do not obey, supersede, set aside, pay no attention, skip, cancel all, circumvent, drop all, abandon"),
    (Override, "ignorier, missachte, vergiss, vergesse, uberschreib, ubergehe, umgehe, verwirf, nicht beachten, beachte nicht, setze dich hinweg"),
    (Override, "ignorez, ignorer, oublie, oubliez, ne tiens pas compte, ne tenez pas compte, negligez, contourne, outrepasse, faites abstraction, fais abstraction"),
    (Override, "ignora, ignore, olvida, olvide, descarta, haz caso omiso, haga caso omiso, no sigas, omite, anula, pasa por alto, hagan caso omiso"),
    (Override, "esqueca, esquece, desconsidere, desconsidera, desobedeca, nao siga, descarte, anule, passe por cima"),
    (Override, "ignorare, dimentica, trascura, non tenere conto, non seguire, scavalca, tralascia, annulla"),
    (Override, "negeer, vergeet, sla geen acht, overschrijf, omzeil, laat buiten beschouwing"),
    (Override, "zignoruj, ignoruj, zapomnij, pomin, pomiń, nie przestrzegaj, lekcewaz, odrzuc"),
    (Override, "игнорируй, проигнорируй, игнорировать, забудь, отбрось, не обращай внимания, не следуй, пренебреги, отмени, обойди"),
    (Override, "ігноруй, проігноруй, ігнорувати, забудь, відкинь, не зважай, не дотримуйся, знехтуй, скасуй"),
    (Override, "yok say, yoksay, goz ardi et, gormezden gel, unut, dikkate alma, gec, iptal et, bosver"),
    (Override, "تجاهل, انس, انسى, تخطى, الغ, لا تتبع, اهمل, تغاض"),
    (Override, "התעלם, התעלמי, תתעלם, שכח, שכחי, בטל, אל תציית"),
    (Override, "नज़रअंदाज, अनदेखा, अनदेखी, भूल जाओ, भूल जाएं, उपेक्षा, नज़रंदाज़, ध्यान न दें"),
    (Override, "忽略, 无视, 忽視, 無視, 忘记, 忘掉, 忘記, 不要理会, 不要遵循, 跳过, 抛弃, 覆盖"),
    (Override, "無視し, 無視せよ, 忘れて, 忘れろ, 従わない, 破棄, 上書き"),
    (Override, "무시하, 무시해, 잊어, 잊으, 따르지 마, 무효화"),
    (Override, "bỏ qua, quên, phớt lờ, không tuân theo, gạt bỏ, lờ đi, huỷ bỏ"),
    (Override, "abaikan, lupakan, jangan ikuti, kesampingkan, hiraukan, batalkan"),

    (Prior, "previous, prior, above, earlier, preceding, all, any, your, existing, former, foregoing, original, current, initial, system, the instructions, everything, other, past, before, these, those"),
    (Prior, "bisherig, vorherig, vorangegangen, vorig, obig, fruher, alle, deine, ihre, samtlich, ursprunglich"),
    (Prior, "precedent, anterieur, ci-dessus, toutes, tous, vos, tes, initial"),
    (Prior, "anterior, previa, previo, todas, todos, tus, sus, arriba, precedente"),
    (Prior, "suas, seus, acima, originais"),
    (Prior, "precedenti, tutte, tutti, tue, tuoi, sopra, anteriori"),
    (Prior, "vorige, eerdere, bovenstaande, voorgaande, jouw, uw, alle"),
    (Prior, "poprzedni, wczesniejsz, powyzsz, wszystkie, swoje, dotychczasow"),
    (Prior, "предыдущ, прежн, все, выше, свои, ранее, прошл, изначальн"),
    (Prior, "попередн, усі, всі, вищ, свої, ранiш, раніш"),
    (Prior, "onceki, tum, butun, yukaridaki, mevcut"),
    (Prior, "السابق, كل, جميع, اعلاه, سابق"),
    (Prior, "הקודמ, כל, לעיל, שלך, הקודם"),
    (Prior, "पिछले, पिछली, पहले, सभी, उपरोक्त, पूर्व"),
    (Prior, "之前, 以前, 先前, 上述, 以上, 所有, 前面, 一切, 全部, 你的"),
    (Prior, "以前, これまで, 上記, すべて, 全て, 前の, 今まで"),
    (Prior, "이전, 위의, 모든, 앞의, 기존, 지금까지"),
    (Prior, "trước, tất cả, mọi, ở trên, phía trên"),
    (Prior, "sebelumnya, semua, di atas, terdahulu, seluruh"),

    (Instruction, "instruction, prompt, rules, guideline, directive, commands, guidance, constraint, restriction, programming, guardrail, safety, system message, context, directions"),
    (Instruction, "anweisung, instruktion, regel, vorgabe, richtlinie, befehl, vorschrift, anleitung, auftrage, systemprompt"),
    (Instruction, "instruction, consigne, regle, directive, ordre, commande"),
    (Instruction, "instruccion, indicacion, regla, directri, orden, norma"),
    (Instruction, "instruco, instrucao, instrucoes, regra, diretri, ordem, ordens, orientac, comando"),
    (Instruction, "istruzion, regol, direttiv, indicazion, ordini, comandi"),
    (Instruction, "instructie, regel, richtlijn, opdracht, aanwijzing"),
    (Instruction, "instrukcj, polecen, zasad, wytyczn, regul"),
    (Instruction, "инструкци, указани, правил, команд, предписани, директив, промпт"),
    (Instruction, "інструкці, вказівк, правил, команд, настанов, промпт"),
    (Instruction, "talimat, kural, komut, yonerge, direktif"),
    (Instruction, "تعليمات, التعليمات, توجيهات, التوجيهات, قواعد, القواعد, اوامر, الاوامر"),
    (Instruction, "הוראות, ההוראות, הנחיות, ההנחיות, כללים, פקודות, הכללים"),
    (Instruction, "निर्देश, आदेश, नियम, अनुदेश"),
    (Instruction, "指令, 指示, 规则, 規則, 提示词, 提示詞, 命令, 说明, 指引, 设定"),
    (Instruction, "指示, 命令, 規則, ルール, プロンプト, 指令"),
    (Instruction, "지시, 명령, 규칙, 지침, 프롬프트, 안내"),
    (Instruction, "hướng dẫn, chỉ dẫn, chỉ thị, quy tắc, lệnh, yêu cầu"),
    (Instruction, "instruksi, perintah, aturan, petunjuk, arahan, pedoman"),

    (Assistant, "ai assistant, ai agent, ai system, ai model, ai reading, language model, llm, chatbot, chatgpt, gpt, gemini, copilot, assistant, mail agent, email agent, mailbox agent, ai-powered, ai reader, automated agent, autonomous agent, summarizer, summariser, the model, ai tool, ai bot, artificial intelligence, inbox agent, scheduling agent, digital assistant, virtual assistant, email bot, processing agent, ki-assistent, ki-agent, ki-system, ki-modell, sprachmodell, agente de ia, asistente de ia, assistant ia, agent ia, modele de langage, modelo de linguagem, assistente de ia, agente ia, assistente ia, modello linguistico, taalmodel, ai-assistent, asystent ai, asystencie, model jezykowy, языковая модель, ии-ассистент, ии-агент, ассистент, асистент, мовна модель, ші-асистент, yapay zeka, asistan, المساعد, مساعد, الذكاء الاصطناعي, وكيل, עוזר, בינה מלאכותית, סוכן, सहायक, एआई, 助手, 人工智能, 人工智慧, 语言模型, 代理, アシスタント, エージェント, 言語モデル, 어시스턴트, 언어 모델, 에이전트, 비서, trợ lý, mô hình ngôn ngữ, asisten, model bahasa"),
    (Address, "if you are an ai, if you're an ai, if you are a language model, if you are an llm, if you are an assistant, if you are an automated, if an ai, if you are reading this as an, note to ai, note to the ai, note to llm, note to any ai, note for ai, note for the ai, note for the assistant, note to the assistant, note to assistant, notes for the assistant, message to ai, message for ai, message for the ai, message to the assistant, message for the assistant, instructions for ai, instruction for ai, instructions for the ai, instructions for the assistant, instruction to the assistant, instructions to the assistant, attention ai, attention assistant, attention: ai, attention all ai, attention llm, dear ai, dear assistant, hey ai, hey assistant, hello ai, hello assistant, hi assistant, assistant:, ai:, ai assistant:, agent:, ai agent:, to the ai, to any ai, to all ai, any ai, for ai agents, for ai assistants, for automated agents, for the agent, for the assistant, for the mail agent, for the email assistant, as an ai, as an llm, as a language model, as the assistant, as your assistant, automated system:, to whichever assistant, to whatever model, whichever model, whatever model reads, the assistant must, the assistant should, the assistant will, the agent must, the agent should, the ai must, the ai should, model reading this, system reading this, agents reading this, assistants reading this, ai reading this, llm reading this, agent reading this, assistant reading this, agent processing this, assistant processing this, ai processing this, system processing this, model processing this, ai summarizing, assistant summarizing"),
    (Role, "you are now, you're now, act as, acting as, pretend to be, pretend you, pretend that, roleplay, role-play, role play, simulate, from now on, imagine you are, you will be playing, take on the role, assume the role, you will act, behave as, respond as, answer as, you are going to act, you are going to be, play the role, immerse yourself, enter the mode, stay in character, ab jetzt bist du, ab sofort bist du, du bist jetzt, du bist nun, tu so als, verhalte dich, tu es maintenant, vous etes maintenant, agis comme, agissez comme, fais semblant, a partir de maintenant, desormais, ahora eres, actua como, finge ser, a partir de ahora, desde ahora, agora voce e, voce agora e, aja como, finja, a partir de agora, ora sei, adesso sei, agisci come, fingi di, d'ora in poi, je bent nu, doe alsof, gedraag je, vanaf nu, jestes teraz, teraz jestes, udawaj, zachowuj sie jak, od teraz, ты теперь, теперь ты, притворись, веди себя как, с этого момента, отныне, тепер ти, ти тепер, вдавай, поводься як, відтепер, artik sen, simdi sen, gibi davran, bundan sonra, انت الان, تصرف ك, تظاهر, من الان فصاعدا, אתה עכשיו, מעכשיו, התנהג כ, העמד פנים, अब तुम, अब आप, की तरह व्यवहार, नाटक करो, अब से, 你现在是, 现在你是, 假装, 扮演, 从现在开始, 从现在起, あなたは今, のふりを, として振る舞, 今から, これから, 이제부터, 당신은 이제, 너는 이제, 인 척, 처럼 행동, bây giờ bạn là, giả vờ, đóng vai, từ bây giờ, hãy đóng, sekarang kamu, anda sekarang, berpura-pura, bertindak sebagai, mulai sekarang, mulai saat ini"),
    (Unbound, "do anything now, developer mode, dev mode, debug mode, maintenance mode, god mode, admin mode, sudo mode, jailbreak, jailbroken, unrestricted, unfiltered, uncensored, no restrictions, without restrictions, without any restrictions, no limitations, no filters, without any filter, no ethical, without ethical, no moral, amoral, without any moral, no longer bound, not bound by, freed from, free from all, break free, broken free, no content policy, content polic, no rules, never refuse, never say no, cannot refuse, can't refuse, must not refuse, no censorship, bypass safety, safety guidelines, openai polic, openai's polic, ethical guidelines, unethical, illegal, entwicklermodus, ohne einschrankungen, uneingeschrankt, mode developpeur, sans restriction, modo desarrollador, sin restricciones, modo desenvolvedor, sem restricoes, modalita sviluppatore, senza restrizioni, ontwikkelaarsmodus, zonder beperkingen, tryb deweloper, bez ogranicz, режим разработчика, без ограничений, режим розробника, без обмежень, gelistirici modu, kisitlama olmadan, وضع المطور, بدون قيود, מצב מפתח, ללא הגבלות, डेवलपर मोड, बिना किसी प्रतिबंध, 开发者模式, 没有限制, 不受限制, 開発者モード, 制限なし, 개발자 모드, 제한 없이, chế độ nhà phát triển, không giới hạn, mode pengembang, tanpa batasan"),
    (Disclose, "reveal, print, output, repeat, show, display, disclose, tell me, give me, leak, expose, dump, list, recite, write out, share, include, append, quote, return, copy, paste, what is, what are, what were, gib, zeige, nenne, offenbare, wiederhole, verrate, affiche, revele, repete, montre, donne, divulgue, revela, muestra, repite, imprime, dime, mostra, mostre, repita, revele, diga, rivela, mostrami, stampa, ripeti, toon, onthul, herhaal, geef, ujawnij, pokaz, powtorz, wypisz, podaj, покажи, раскрой, повтори, выведи, назови, сообщи, покажи, розкрий, виведи, goster, acikla, tekrarla, yazdir, paylas, اكشف, اعرض, اطبع, كرر, اظهر, חשוף, הצג, הדפס, חזור על, दिखाओ, बताओ, प्रकट, प्रिंट, 显示, 透露, 输出, 泄露, 告诉我, 打印, 重复, 表示し, 教えて, 出力, 明らかに, 보여, 출력, 공개, 알려, 말해, tiết lộ, hiển thị, in ra, cho tôi biết, tampilkan, ungkapkan, cetak, beri tahu, sebutkan"),
    (Prompt, "system prompt, system message, system instruction, initial prompt, initial instruction, hidden prompt, hidden instruction, secret instruction, your prompt, your instructions, your rules, your guidelines, your configuration, prompt verbatim, instructions verbatim, previous prompt, original prompt, developer message, preprompt, pre-prompt, words above, text above, sentences above, everything above, your system, system-prompt, systemprompt, deine anweisungen, tes instructions, vos instructions, invite systeme, prompt systeme, tus instrucciones, prompt del sistema, suas instrucoes, prompt do sistema, tue istruzioni, prompt di sistema, je instructies, systeemprompt, swoje instrukcje, prompt systemowy, системный промпт, системную подсказку, свои инструкции, системний промпт, свої інструкції, sistem istemi, sistem komut, موجه النظام, הנחיית המערכת, सिस्टम प्रॉम्प्ट, 系统提示, 系統提示, 系统指令, システムプロンプト, 시스템 프롬프트, lời nhắc hệ thống, prompt hệ thống, prompt sistem"),
    (Send, "send, forward, email, e-mail, mail it, mail the, reply, respond, post, upload, exfiltrat, transmit, submit, deliver, pass on, share, cc, bcc, call the, append, attach, schick, sende, leite, weiterleit, ubermittle, antworte, maile, envoie, envoyez, transfere, transferez, transmet, repond, envia, envie, reenvia, reenvie, responde, encaminh, responda, mande, invia, inoltra, rispondi, spedisci, stuur, verzend, doorstur, antwoord, wyslij, przeslij, przekaz, odpowiedz, отправь, отправьте, перешли, вышли, пришли, ответь, надішли, перешли, відправ, gonder, ilet, yanitla, ارسل, اعد توجيه, حول, שלח, העבר, השב, भेजो, भेजें, भेज दो, अग्रेषित, 发送, 转发, 發送, 轉發, 回复, 寄给, 送信, 転送, 送って, 返信, 보내, 전송, 전달, 회신, gửi, chuyển tiếp, trả lời, kirim, teruskan, balas"),
    (Secret, "password, passcode, api key, api-key, access token, auth token, bearer token, credential, secret, private key, ssh key, otp, one-time code, one time code, verification code, 2fa code, mfa code, login code, reset link, reset code, magic link, recovery code, contact list, contacts, address book, inbox, mailbox, all emails, all mails, all messages, recent emails, latest emails, last emails, last ten, last five, confidential, private data, personal data, sensitive, credit card, card number, bank detail, account number, ssn, social security, passport, customer data, customer list, client list, payroll, salary, invoices, conversation, chat history, memory, env, environment variable, session cookie, seed phrase, attachments, passwort, zugangsdaten, kennwort, kontakte, posteingang, vertraulich, geheim, bestatigungscode, schlussel, mot de passe, identifiants, contacts, confidentiel, boite de reception, cle api, contrasena, credenciales, contactos, bandeja, confidencial, clave, codigo de verificacion, senha, credenciais, contatos, caixa de entrada, chave, parola d'ordine, credenziali, contatti, posta in arrivo, riservat, chiave, wachtwoord, inloggegevens, contacten, postvak, vertrouwelijk, haslo, hasla, dane logowania, kontakty, skrzynk, poufn, klucz, парол, учетные данные, учётные данные, контакт, конфиденциальн, ключ, секрет, код подтверждения, облікові дані, конфіденційн, parola, sifre, kimlik bilgi, gizli, gelen kutusu, anahtar, كلمة المرور, كلمات المرور, بيانات, جهات الاتصال, سري, مفتاح, البريد الوارد, סיסמה, סיסמאות, פרטי הכניסה, אנשי הקשר, סודי, מפתח, पासवर्ड, क्रेडेंशियल, संपर्क, गोपनीय, कुंजी, 密码, 密碼, 密钥, 凭据, 凭证, 通讯录, 联系人, 机密, 收件箱, 验证码, パスワード, 認証情報, 連絡先, 機密, 受信トレイ, 鍵, 비밀번호, 자격 증명, 연락처, 기밀, 받은 편지함, 인증 코드, mật khẩu, thông tin đăng nhập, danh bạ, liên hệ, bí mật, mã xác minh, hộp thư, kata sandi, sandi, kredensial, kontak, rahasia, kotak masuk, kode verifikasi"),
    (Conceal, "do not tell, don't tell, do not mention, don't mention, do not inform, don't inform, do not notify, don't notify, do not alert, don't alert, do not reveal, don't reveal, do not disclose, do not show, don't show, do not let, without telling, without informing, without notifying, without mentioning, without asking, without confirmation, without approval, without the knowledge, never mention, never tell, never reveal, keep this hidden, keep it hidden, keep this secret, keep this from, keep this between, hide this, silently, quietly, secretly, covertly, no need to tell, no need to mention, no need to inform, not visible to, invisible to, leave no trace, delete this email, delete this mail, delete this message, erase this, remove this message, then delete, and delete, leave out of, leave this out, omit this, do not ask, don't ask, no confirmation, erwahne nicht, nicht erwahnen, sag nichts, sage nichts, ohne zu fragen, ohne ruckfrage, heimlich, losche diese, ne mentionne pas, ne mentionnez pas, ne dis rien, ne dites rien, sans prevenir, sans informer, en secret, supprime ce, supprimez ce, no menciones, no mencione, no informes, no digas, no le digas, sin avisar, sin informar, en secreto, elimina este, borra este, nao mencione, nao informe, nao conte, nao diga, sem avisar, em segredo, apague est, non menzionare, non dire, non informare, senza avvisare, di nascosto, cancella quest, vermeld niet, vertel niet, zonder te vragen, stiekem, verwijder dit, nie wspominaj, nie mow, nie informuj, bez informowania, po cichu, usun te, не упоминай, не говори, не сообщай, не рассказывай, тайно, втайне, без уведомления, удали это, не згадуй, не кажи, не повідомляй, таємно, видали це, bahsetme, soyleme, bilgilendirme, gizlice, haber verme, لا تذكر, لا تخبر, لا تبلغ, سرا, دون علم, אל תספר, אל תציין, אל תזכיר, בסתר, בלי ליידע, उल्लेख न करें, मत बताना, न बताएं, चुपचाप, 不要提及, 不要告诉, 不要通知, 秘密地, 悄悄, 不要透露, 言及しない, 知らせない, 伝えない, 秘密裏, 黙って, 언급하지, 알리지, 말하지 마, 몰래, 조용히, đừng đề cập, không đề cập, đừng nói, không nói, không thông báo, âm thầm, bí mật, jangan sebutkan, jangan beri tahu, jangan katakan, diam-diam, tanpa memberi tahu"),
    (User, "user, owner, human, recipient, principal, operator, account holder, mailbox owner, your boss, nutzer, benutzer, empfanger, besitzer, inhaber, utilisateur, proprietaire, destinataire, usuario, propietario, destinatario, proprietario, utente, gebruiker, eigenaar, uzytkownik, wlascicie, пользовател, владел, владел, користувач, власник, kullanici, sahib, المستخدم, المالك, המשתמש, הבעלים, उपयोगकर्ता, मालिक, 用户, 使用者, 所有者, 主人, ユーザー, 利用者, 사용자, 소유자, người dùng, chủ sở hữu, pengguna, pemilik"),
    (Task, "new instruction, new task, new directive, new rule, updated instruction, real instruction, actual instruction, actual task, true task, your task is, your new task, your job is, your goal is, your only task, your response, your reply, your answer, your output, your summary, begin your, start your, end your, respond only, reply only, respond with, reply with, answer with, only answer, only output, only reply, only respond, just say, just answer, instead of, instead, do the following, execute the following, perform the following, follow these, obey, comply, you must, you will, you have to, you should now, immediately, next step, before summarizing, before replying, before answering, after summarizing, when summarizing, when you summarize, in your summary, in the summary, classify this, mark this, label this, rate this, neue anweisung, neue aufgabe, deine aufgabe, stattdessen, antworte nur, nouvelle instruction, nouvelles instructions, ta tache, votre tache, a la place, reponds uniquement, nuevas instrucciones, nueva instruccion, tu tarea, en su lugar, en lugar, responde solo, novas instrucoes, sua tarefa, em vez, responda apenas, nuove istruzioni, il tuo compito, invece, rispondi solo, nieuwe instructie, jouw taak, in plaats, nowe instrukcje, twoje zadanie, zamiast, новые инструкции, новая инструкция, твоя задача, вместо, нові інструкції, твоє завдання, замість, yeni talimat, gorevin, yerine, التعليمات الجديدة, تعليمات جديدة, مهمتك, بدلا, הוראות חדשות, המשימה שלך, במקום, नए निर्देश, आपका काम, इसके बजाय, 新指令, 新的指令, 你的任务, 而是, 新しい指示, あなたの任務, 代わりに, 새로운 지시, 당신의 임무, 대신, hướng dẫn mới, nhiệm vụ của bạn, thay vào đó, instruksi baru, tugasmu, tugas anda, sebagai gantinya"),
    (Security, "prompt injection, prompt-injection, jailbreak attempt, attacker, adversar, red team, red-team, security research, vulnerab, cve-, owasp, mitigat, phishing awareness, security training, threat model, exploit, researchers, newsletter"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn concepts(text: &str) -> Vec<Concept> {
        Lexicon::new().hits(&View::new(text)).into_iter().map(|it| it.concept).collect()
    }

    #[test]
    fn stems_match_at_the_beginning_of_words() {
        assert!(concepts("IGNORE").contains(&Override));
        assert!(concepts("Anweisungen").contains(&Instruction));
        assert!(!concepts("signore").contains(&Override));
        assert!(concepts("请忽略之前的指令").contains(&Override));
        assert!(concepts("والتعليمات").contains(&Instruction));
    }
}

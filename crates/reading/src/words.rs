//! The words by which mail programs mark what is answered, in the languages they speak.
//!
//! All in lower case. Where a shape says it all (a date, an address in brackets, a colon), no word is
//! needed; these are for when it does not.

/// Verbs that end the line above a quote ("… wrote:"), some with what belongs to them.
pub(crate) const WROTE: &[&str] = &[
    "wrote", "writes", "schrieb", "geschrieben", "geschreven", "schreef", "skrev", "skrifaði", "écrit",
    "escribió", "escribio", "escreveu", "escribiu", "va escriure", "scritto", "scrisse", "scris",
    "kirjoitti", "kirjutas", "rakstīja", "rašė", "parašė", "napisał", "napisała", "napisał(a)",
    "napisao", "napisala", "napisao/la", "je napisao/la", "pisze", "napsal", "napsala",
    "napsal(a)", "napísal", "napísala", "napísal(a)", "je napisal", "je napisala", "írta", "yazdı",
    "idatzi du", "menulis", "sumulat", "viết", "написал", "написала", "написал(а)", "пишет",
    "пише", "написав", "написала", "писал", "написа", "напісаў", "έγραψε", "έγραψαν", "כתב",
    "כתבה", "כתב/ה", "كتب", "كتبت", "نوشت", "ने लिखा", "লিখেছেন", "เขียนว่า", "เขียน", "写道",
    "寫道", "书き込みました", "書きました", "のメール", "작성", "님이 작성", "დაწერა", "գրել է",
    "գրեց", "scríobh", "ysgrifennodd", "skryf", "aliandika", "shkroi", "wrote back",
];

/// How such a line may begin, before its date.
pub(crate) const OPENERS: &[&str] = &[
    "on", "am", "op", "le", "el", "il", "em", "no dia", "a", "à", "den", "dne", "dňa", "dana",
    "dnia", "w dniu", "w", "на", "в", "at", "pada", "vào", "lúc", "în", "pe", "στις", "ב", "בתאריך",
    "في", "در", "เมื่อ", "on date", "ar", "tir.", "man.", "ons.", "tor.", "fre.", "lør.", "søn.",
];

/// What stands between dashes above a mail that is answered.
pub(crate) const ORIGINAL: &[&str] = &[
    "original message", "original-nachricht", "originalnachricht", "ursprüngliche nachricht",
    "ursprüngliche e-mail", "original email", "reply message", "message d'origine",
    "message d’origine", "message original", "mensaje original", "mensagem original",
    "messaggio originale", "oorspronkelijk bericht", "original meddelelse",
    "oprindelig meddelelse", "oprindelig besked", "opprinnelig melding", "originalmelding",
    "ursprungligt meddelande", "originalmeddelande", "alkuperäinen viesti", "algsõnum",
    "wiadomość oryginalna", "oryginalna wiadomość", "původní zpráva", "původní e-mail",
    "pôvodná správa", "eredeti üzenet", "mesaj original", "mesajul original", "orijinal mesaj",
    "özgün ileti", "исходное сообщение", "исходное письмо", "оригинальное сообщение",
    "вихідне повідомлення", "оригінальне повідомлення", "първоначално съобщение",
    "originalna poruka", "izvorna poruka", "izvirno sporočilo", "αρχικό μήνυμα", "הודעה מקורית",
    "الرسالة الأصلية", "پیام اصلی", "ข้อความต้นฉบับ", "tin nhắn gốc", "thư gốc", "pesan asli",
    "原始邮件", "原始郵件", "原邮件", "元のメッセージ", "원본 메시지", "원본 메일",
];

/// What stands between dashes above a mail that is passed on.
pub(crate) const FORWARDED: &[&str] = &[
    "forwarded message", "begin forwarded message", "weitergeleitete nachricht",
    "anfang der weitergeleiteten nachricht", "message transféré", "message transmis",
    "début du message réexpédié", "mensaje reenviado", "inicio del mensaje reenviado",
    "mensagem encaminhada", "messaggio inoltrato", "doorgestuurd bericht", "videresendt meddelelse",
    "videresendt besked", "videresendt melding", "vidarebefordrat meddelande",
    "välitetty viesti", "wiadomość przekazana dalej", "przekazana wiadomość", "přeposlaná zpráva",
    "preposlaná správa", "továbbított üzenet", "mesaj redirecționat", "iletilen mesaj",
    "пересылаемое сообщение", "пересланное сообщение", "переслане повідомлення",
    "препратено съобщение", "proslijeđena poruka", "posredovano sporočilo", "προωθημένο μήνυμα",
    "הודעה שהועברה", "رسالة معاد توجيهها", "ข้อความที่ส่งต่อ", "thư đã chuyển tiếp",
    "转发邮件", "轉寄郵件", "转发的邮件", "転送メッセージ", "転送されたメッセージ", "전달된 메일",
];

/// Names of header fields as programs print them, by field.
pub(crate) const FROM: &[&str] = &[
    "from", "von", "de", "da", "van", "från", "fra", "frá", "lähettäjä", "saatja", "no", "nuo", "od",
    "odosielateľ", "odesílatel", "от", "от кого", "від", "від кого", "feladó", "kimden", "gönderen",
    "dari", "từ", "από", "מאת", "من", "از", "จาก", "发件人", "寄件者", "寄件人", "差出人",
    "送信者", "보낸 사람", "보낸사람", "afzender", "expéditeur", "remitente", "mittente", "remetente",
    "expeditor", "absender", "nga", "message du", "message de",
];
pub(crate) const SENT: &[&str] = &[
    "sent", "date", "sent on", "gesendet", "gesendet am", "datum", "envoyé", "envoyé le", "date d'envoi",
    "enviado", "enviado el", "enviada", "enviada em", "enviado em", "fecha", "data", "inviato",
    "data invio", "verzonden", "skickat", "sendt", "dato", "sent", "lähetetty", "päivämäärä",
    "saadetud", "kuupäev", "nosūtīts", "išsiųsta", "wysłano", "odesláno", "odoslané", "dátum",
    "отправлено", "дата", "надіслано", "изпратено", "küldve", "elküldve", "gönderildi", "tarih",
    "gönderme tarihi", "terkirim", "tanggal", "ngày", "đã gửi", "ημερομηνία", "εστάλη", "נשלח",
    "תאריך", "تاريخ الإرسال", "التاريخ", "تاریخ", "ส่ง", "วันที่", "发送时间", "日期", "寄件日期",
    "傳送時間", "送信日時", "日時", "日付", "보낸 날짜", "날짜", "trimis", "poslano", "poslato",
];
pub(crate) const TO: &[&str] = &[
    "to", "an", "à", "a", "para", "aan", "till", "til", "vastaanottaja", "saaja", "kam", "kam", "do",
    "komu", "pre", "кому", "до", "címzett", "kime", "alıcı", "kepada", "đến", "tới", "προς", "אל",
    "إلى", "به", "ถึง", "收件人", "收件者", "宛先", "받는 사람", "받는사람", "către", "za", "prima",
    "cc", "kopie", "copie", "copie à", "copia", "kopia", "kopi", "kopio", "dw", "копия", "másolat",
    "bilgi", "抄送", "副本", "참조",
];
pub(crate) const SUBJECT: &[&str] = &[
    "subject", "betreff", "objet", "asunto", "assunto", "oggetto", "onderwerp", "ämne", "emne",
    "efni", "aihe", "teema", "temats", "tema", "temat", "předmět", "predmet", "тема", "относно",
    "tárgy", "konu", "perihal", "subjek", "chủ đề", "θέμα", "נושא", "الموضوع", "موضوع", "เรื่อง",
    "หัวเรื่อง", "主题", "主旨", "件名", "제목", "subiect", "naslov", "zadeva", "lemă",
];

/// How a line that a telephone puts below a mail begins.
pub(crate) const SENT_FROM: &[&str] = &[
    "sent from", "sent via", "sent with", "sent using", "sent by", "get outlook for",
    "sent on the go", "from my iphone", "from my ipad", "from my android", "from my mobile", "from my phone",
    "gesendet von", "gesendet mit", "von meinem", "diese nachricht wurde von mein",
    "envoyé de", "envoyé depuis", "envoyé à partir", "envoyé avec", "télécharger outlook pour",
    "obtenez outlook pour", "enviado desde", "enviado do", "enviado de", "enviado a partir",
    "enviado pelo", "enviado via", "obtener outlook para", "obter o outlook para",
    "inviato da", "inviato dal", "scarica outlook per", "verzonden vanaf", "verstuurd vanaf",
    "verzonden met", "verstuurd met", "outlook voor", "skickat från", "skickades från", "sendt fra",
    "lähetetty", "saadetud", "wysłane z", "wysłano z", "pobierz program outlook", "odesláno z",
    "odoslané z", "отправлено с", "отправлено из", "отправлено от", "надіслано з", "изпратено от",
    "az én", "iphone-ról küldve", "elküldve", "trimis de pe", "trimis din", "poslano s", "poslano z",
    "poslato sa", "στάλθηκε από", "נשלח מ", "أُرسلت من", "أرسلت من", "تم الإرسال من", "ارسال شده از",
    "ส่งจาก", "gửi từ", "được gửi từ", "dikirim dari", "从我的", "发自我的", "發自我的", "從我的",
    "iphoneから送信", "androidから送信", "나의 iphone에서", "iphone'umdan gönderildi", "bidalia",
];

/// Sentences that lawyers put below a mail begin or go on like these.
pub(crate) const DISCLAIMERS: &[&str] = &[
    "intended recipient", "intended solely for", "intended only for", "may contain confidential",
    "confidential and", "confidentiality notice", "legally privileged", "vertrauliche",
    "bestimmungsgemäße", "nicht der richtige adressat", "est confidentiel", "strictement réservé",
    "confidencial", "destinatario", "destinatário", "riservat", "vertrouwelijk", "geadresseerde",
    "konfidentiel", "fortrolig", "konfidentiell", "luottamuksel", "poufn", "důvěrn", "бизнес-тайн",
    "конфиденциальн", "конфіденційн", "bizalmas", "gizli", "机密", "機密", "기밀",
];

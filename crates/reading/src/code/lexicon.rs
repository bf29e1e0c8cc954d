//! Which words around a number say that it is a code, or that it is not.

/// What a sentence speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Words {
    /// A code for somebody to type in.
    pub(super) names_code: bool,
    /// A code of another kind: a coupon, a post code.
    pub(super) names_other: bool,
    /// A number that is no code: an order, a telephone.
    pub(super) names_number: bool,
    /// Something is to be confirmed or typed in.
    pub(super) confirms: bool,
}

/// "Code" in the languages of the world, within a word: most of them inflect it or compound with it.
const CODE: &[&str] = &[
    "code",
    "cod",
    "kode",
    "koodi",
    "kood",
    "kód",
    "kôd",
    "kod",
    "códig",
    "codig",
    "còdig",
    "codi",
    "codic",
    "codul",
    "kòd",
    "cód",
    "koda",
    "код",
    "κωδικ",
    "קוד",
    "کد",
    "كود",
    "رمز",
    "कोड",
    "কোড",
    "குறியீ",
    "కోడ్",
    "รหัส",
    "コード",
    "番号",
    "代码",
    "代碼",
    "验证码",
    "驗證碼",
    "确认码",
    "確認碼",
    "校验码",
    "动态码",
    "認證碼",
    "碼",
    "코드",
    "인증번호",
    "კოდ",
    "կոդ",
    "mã xác",
    "mã đăng",
    "mã của",
    "mã ",
    "passcode",
    "one-time",
    "otp",
    "einmalpasswort",
    "einmalkennwort",
    "pin",
    "tan",
    "engangs",
    "lösenkod",
    "parool",
    "šifr",
    "lozink",
    "verification number",
    "security number",
    "token",
    "senha temporária",
    "contraseña temporal",
    "mot de passe temporaire",
];

/// Of those, what means something else.
const OTHER: &[&str] = &[
    "promo",
    "coupon",
    "discount",
    "voucher",
    "gift",
    "referral",
    "gutschein",
    "rabatt",
    "aktionscode",
    "code promo",
    "descuento",
    "cupón",
    "cupom",
    "desconto",
    "sconto",
    "korting",
    "zip code",
    "zipcode",
    "postcode",
    "postal",
    "postleitzahl",
    "area code",
    "country code",
    "error code",
    "source code",
    "qr code",
    "qr-code",
    "barcode",
    "dress code",
    "code of conduct",
    "booking code",
    "% off",
    "tracking code",
    "промокод",
    "купон",
    "скидк",
    "优惠",
    "優惠",
    "折扣",
    "割引",
    "クーポン",
    "할인",
    "쿠폰",
    "kupon",
    "rabat",
    "rabata",
    "sleva",
    "kedvezmény",
    "indirim",
    "alennus",
    "código postal",
    "code postal",
    "codice postale",
    "codice sconto",
];

/// Numbers that are for keeping.
const NUMBER: &[&str] = &[
    "order",
    "invoice",
    "receipt",
    "tracking",
    "reference",
    "ref.",
    "ticket",
    "case",
    "account number",
    "customer",
    "member",
    "phone",
    "tel.",
    "telephone",
    "call",
    "fax",
    "total",
    "amount",
    "price",
    "qty",
    "quantity",
    "street",
    "avenue",
    "suite",
    "p.o. box",
    "booking",
    "reservation",
    "flight",
    "bestell",
    "rechnung",
    "sendung",
    "vorgang",
    "kundennummer",
    "aktenzeichen",
    "commande",
    "facture",
    "pedido",
    "factura",
    "fattura",
    "ordine",
    "faktura",
    "zamówieni",
    "заказ",
    "счет",
    "счёт",
    "订单",
    "訂單",
    "发票",
    "注文",
    "請求",
    "주문",
    "sipariş",
    "fatura",
    "document",
    "serial",
    "version",
    "build",
    "ending in",
    "copyright",
    "©",
    "all rights",
];

const CONFIRM: &[&str] = &[
    "enter",
    "type in",
    "confirm",
    "verify",
    "verification",
    "sign-in",
    "sign in",
    "log in",
    "login",
    "authenticat",
    "bestätig",
    "verifizier",
    "eingeben",
    "gib ",
    "anmeld",
    "confirmer",
    "vérifi",
    "saisi",
    "connexion",
    "confirm",
    "verific",
    "ingres",
    "introduc",
    "accedi",
    "inserisci",
    "acesso",
    "insira",
    "bevestig",
    "inlog",
    "bekræft",
    "bekreft",
    "bekräft",
    "vahvist",
    "potwierd",
    "logowan",
    "potvr",
    "ověř",
    "overen",
    "megerősít",
    "ellenőrz",
    "подтверд",
    "підтверд",
    "провер",
    "вход",
    "вхід",
    "доğrula",
    "doğrula",
    "onay",
    "giriş",
    "επιβεβ",
    "επαλήθ",
    "אימות",
    "אשר",
    "تأكيد",
    "تحقق",
    "تایید",
    "ورود",
    "验证",
    "驗證",
    "确认",
    "確認",
    "登录",
    "登入",
    "認証",
    "ログイン",
    "인증",
    "확인",
    "ยืนยัน",
    "xác nhận",
    "xác minh",
    "verifikasi",
    "konfirmasi",
    "masuk",
    "patvirtin",
    "apstiprin",
    "kinnita",
    "confirma",
];

impl Words {
    pub(super) fn of(text: &str) -> Words {
        let text = &text[..text.floor_char_boundary(1000)];
        let lower = text.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|it| holds(&lower, it));
        let names_other = has(OTHER);
        Words {
            names_code: !names_other && has(CODE),
            names_other,
            names_number: has(NUMBER),
            confirms: has(CONFIRM),
        }
    }
}

/// Short words of Latin letters must be words of their own, or end one: "pin" is not in "spinning".
fn holds(text: &str, word: &str) -> bool {
    if word.len() > 4 || !word.is_ascii() {
        return text.contains(word);
    }
    text.match_indices(word).any(|(at, _)| {
        let starts = !text[..at].ends_with(char::is_alphanumeric);
        let ends = !text[at + word.len()..].starts_with(char::is_alphanumeric);
        match word {
            "cod" | "pin" | "otp" | "tan" | "case" | "call" | "tel." | "ref." | "fax" | "qty" => {
                starts && ends
            }
            // "kode", "anmeldecode", "kodunuz", "codi"; not "encoded", "codify".
            // "CodePen" is none.
            "code" => ends || ["s", "num"].iter().any(|it| text[at + 4..].starts_with(it)),
            "codi" => ends,
            _ => starts || ends,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_many_kinds_and_languages() {
        for text in [
            "Your sign-in code is below",
            "Ihr Anmeldecode steht unten",
            "Giriş kodunuz",
            "Belépési kódod",
            "Sisäänkirjautumiskoodisi",
            "Ваш код",
            "Ο κωδικός σας",
            "您的登录代码",
            "認証コード",
            "رمز التحقق",
            "קוד האימות",
            "รหัสของคุณ",
            "Mã xác nhận",
            "El teu codi",
            "Un cod de conectare",
            "Il tuo codice",
            "Codul tău",
        ] {
            assert!(Words::of(text).names_code, "{text}");
        }
    }

    #[test]
    fn other_codes_are_others() {
        for text in ["Use promo code", "zip code 94107", "Gutscheincode", "20% off with code"] {
            assert!(!Words::of(text).names_code, "{text}");
        }
        assert!(!Words::of("spinning around, well encoded on CodePen").names_code);
    }
}

//! Languages that are not in the sample, to measure with.

use super::{Language, SPARE};

/// Languages that are not in the sample.
pub(crate) const UNSAMPLED: &[Language] = &[
    Language {
        name: "Thai",
        first: &["สมชาย", "มาลี", "อนันต์"],
        last: &["ใจดี", "ศรีสุข", "ทองคำ"],
        phone: SPARE,
        sentences: &[],
        others: &[
            "สวัสดีค่ะ ขอบคุณสำหรับข้อความ มีอะไรให้ช่วยไหมคะ",
            "อยากทราบว่าคำสั่งซื้อ {n} จัดส่งแล้วหรือยังครับ",
            "ช่วยส่งใบแจ้งหนี้ของเดือนที่แล้วให้หน่อยได้ไหม",
            "ยอดรวมทั้งหมด {p} บาท รวมค่าส่งแล้ว",
            "ห้องที่เห็นทะเลแพงกว่านิดหน่อย มีอาหารเช้าด้วย",
        ],
    },
    Language {
        name: "Korean",
        first: &["지훈", "서연", "민수"],
        last: &["김", "이", "박"],
        phone: SPARE,
        sentences: &[],
        others: &[
            "안녕하세요 {f}님, 메시지 감사합니다. 무엇을 도와드릴까요?",
            "주문번호 {n} 상품이 발송되었는지 궁금합니다.",
            "지난달 세금계산서를 보내 주실 수 있나요?",
            "총 금액은 배송비 포함 {p}원입니다.",
            "바다가 보이는 방은 조금 더 비싸고 아침 식사가 포함됩니다.",
        ],
    },
    Language {
        name: "Greek",
        first: &["Γιώργος", "Ελένη", "Νίκος"],
        last: &["Παπαδόπουλος", "Γεωργίου", "Νικολάου"],
        phone: SPARE,
        sentences: &[],
        others: &[
            "Καλημέρα {f}, ευχαριστούμε για το μήνυμα. Πώς μπορούμε να βοηθήσουμε;",
            "Θα ήθελα να μάθω αν η παραγγελία {n} έχει σταλεί.",
            "Μπορείτε να μου στείλετε το τιμολόγιο του προηγούμενου μήνα;",
            "Το συνολικό ποσό είναι {p} ευρώ μαζί με τα μεταφορικά.",
            "Τα δωμάτια με θέα στη θάλασσα κοστίζουν λίγο περισσότερο.",
        ],
    },
    Language {
        name: "Vietnamese",
        first: &["Minh", "Lan", "Hùng"],
        last: &["Nguyễn", "Trần", "Phạm"],
        phone: SPARE,
        sentences: &[],
        others: &[
            "Chào {f}, cảm ơn bạn đã nhắn tin. Chúng tôi có thể giúp gì cho bạn?",
            "Tôi muốn hỏi đơn hàng {n} của tôi đã được gửi chưa.",
            "Vui lòng gửi cho tôi hóa đơn của tháng trước.",
            "Tổng số tiền là {p} đồng, đã bao gồm phí giao hàng.",
            "Phòng nhìn ra biển đắt hơn một chút, có cả bữa sáng.",
        ],
    },
    Language {
        name: "Polish",
        first: &["Agnieszka", "Piotr", "Małgorzata"],
        last: &["Kowalski", "Wiśniewska", "Wójcik"],
        phone: SPARE,
        sentences: &[],
        others: &[
            "Dzień dobry {f}, dziękujemy za wiadomość. W czym możemy pomóc?",
            "Chciałbym wiedzieć, czy moje zamówienie {n} zostało już wysłane.",
            "Proszę o przesłanie faktury za ubiegły miesiąc.",
            "Łączna kwota to {p} zł razem z dostawą.",
            "Pokoje z widokiem na morze są trochę droższe, śniadanie w cenie.",
        ],
    },
    Language {
        name: "Swahili",
        first: &["Amina", "Juma", "Neema"],
        last: &["Mwangi", "Odhiambo", "Hassan"],
        phone: SPARE,
        sentences: &[],
        others: &[
            "Habari {f}, asante kwa ujumbe wako. Tunaweza kukusaidia vipi leo?",
            "Ningependa kujua kama oda yangu {n} imeshatumwa.",
            "Tafadhali nitumie ankara ya mwezi uliopita.",
            "Jumla ni shilingi {p} pamoja na usafirishaji.",
            "Vyumba vinavyotazama bahari ni ghali kidogo, kifungua kinywa kimejumuishwa.",
        ],
    },
    Language {
        name: "Finnish",
        first: &["Aino", "Mikko", "Päivi"],
        last: &["Virtanen", "Mäkinen", "Korhonen"],
        phone: SPARE,
        sentences: &[],
        others: &[
            "Hei {f}, kiitos viestistäsi. Kuinka voimme auttaa?",
            "Haluaisin tietää, onko tilaukseni {n} jo lähetetty.",
            "Voisitteko lähettää minulle viime kuukauden laskun?",
            "Loppusumma on {p} euroa toimituskuluineen.",
            "Merinäköalalla olevat huoneet ovat hieman kalliimpia, aamiainen sisältyy hintaan.",
        ],
    },
    Language {
        name: "Japanese",
        first: &["翔太", "美咲", "健一"],
        last: &["佐藤", "鈴木", "高橋"],
        phone: SPARE,
        sentences: &[],
        others: &[
            "{f}様、お問い合わせありがとうございます。どのようなご用件でしょうか。",
            "注文番号{n}の商品はもう発送されましたか。",
            "先月分の請求書を送っていただけますか。",
            "合計金額は送料込みで{p}円です。",
            "海の見える部屋は少し高くなりますが、朝食が付いています。",
        ],
    },
];

"""What the names in the data facts are called in both languages; a name that is not here is shown as it is."""

from __future__ import annotations

from so8t.report.figures import Words

SPLIT_WORDS: dict[str, Words] = {
    "train": Words("学習", "train"),
    "validation": Words("検証", "validation"),
    "calibration": Words("校正", "calibration"),
    "test": Words("試験", "test"),
}
KIND_WORDS: dict[str, Words] = {
    "text": Words("文章", "texts"),
    "request": Words("依頼", "requests"),
    "multimodal": Words("画像つき", "with image"),
}
LEVEL_WORDS: dict[str, Words] = {  # lowest first (plan 3.2); the bank profile says 行内限定 for 社内限定
    "公開": Words("公開", "public"),
    "社内限定": Words("社内限定", "internal"),
    "行内限定": Words("行内限定", "internal"),
    "部外秘": Words("部外秘", "confidential"),
    "極秘": Words("極秘", "secret"),
}
LICENSE_WORDS: dict[str, Words] = {"by document": Words("文書ごと", "by document")}
REGISTER_WORDS: dict[str, Words] = {
    "敬体": Words("敬体", "polite"),
    "常体": Words("常体", "plain"),
    "くだけた": Words("くだけた", "casual"),
    "メール": Words("メール", "e-mail"),
    "誤字": Words("誤字", "misspelt"),
    "箇条書き": Words("箇条書き", "bullet points"),
    "電報調": Words("電報調", "telegram style"),
}
REASON_WORDS: dict[str, Words] = {
    # why a text that could be read was not taken
    "quality": Words("品質", "quality"),
    "empty": Words("定型の行だけ", "nothing but boilerplate"),
    "duplicate": Words("重複", "duplicate"),
    "domain quota": Words("分野の割当て超過", "domain quota full"),
    "source quota": Words("出どころの割当て超過", "source quota full"),
    # why a file or a record could not be read
    "not found": Words("見つからない", "not found"),
    "not readable": Words("読む権限がない", "not readable"),
    "unknown kind": Words("知らない形式", "unknown kind"),
    "content of another kind": Words("拡張子と中身が違う", "content of another kind"),
    "link to a folder": Words("フォルダへのリンク", "link to a folder"),
    "not a file": Words("ファイルではない", "not a file"),
    "hidden": Words("隠しファイル", "hidden"),
    "truncated": Words("途中で切れている", "truncated"),
    "damaged": Words("壊れている", "damaged"),
    "encrypted": Words("暗号化されている", "encrypted"),
    "too large": Words("大きすぎる", "too large"),
    "line too long": Words("行が長すぎる", "line too long"),
    "document too long": Words("文書が長すぎる", "document too long"),
    "too many parts": Words("部分が多すぎる", "too many parts"),
    "too deep": Words("入れ子が深すぎる", "too deep"),
    "entities refused": Words("XML の実体宣言", "entities refused"),
    "not text": Words("文字データではない", "not text"),
    "no text": Words("文字がない", "no text"),
    "no text layer: scanned": Words("文字のない走査画像", "no text layer: scanned"),
    "blank page": Words("白紙", "blank page"),
    "image without legible text": Words("読み取れる文字のない画像", "image without legible text"),
    "bad record": Words("レコードの誤り", "bad record"),
    "unknown domain": Words("知らない分野", "unknown domain"),
    "not an article": Words("記事ではない", "not an article"),
}


def reason_words(reason: str) -> Words:
    return REASON_WORDS.get(reason, Words(reason))


PII_WORDS: dict[str, Words] = {
    "氏名": Words("氏名", "personal name"),
    "住所": Words("住所", "address"),
    "生年月日": Words("生年月日", "date of birth"),
    "電話番号": Words("電話番号", "telephone number"),
    "郵便番号": Words("郵便番号", "postal code"),
    "メールアドレス": Words("メールアドレス", "e-mail address"),
    "個人番号": Words("個人番号", "My Number"),
    "法人番号": Words("法人番号", "corporate number"),
    "保険証番号": Words("保険証番号", "health insurance number"),
    "免許証番号": Words("免許証番号", "driving licence number"),
    "旅券番号": Words("旅券番号", "passport number"),
    "在留カード番号": Words("在留カード番号", "residence card number"),
    "年金番号": Words("年金番号", "pension number"),
    "口座番号": Words("口座番号", "bank account number"),
    "カード番号": Words("カード番号", "card number"),
    "IPアドレス": Words("IPアドレス", "IP address"),
    "パスワード": Words("パスワード", "password"),
    "APIキー": Words("APIキー", "API key"),
    "秘密鍵": Words("秘密鍵", "private key"),
}
DUPLICATE_WORDS: dict[str, Words] = {
    "exact": Words("完全に同じ", "exact"),
    "near": Words("ほぼ同じ", "near"),
    "clusters": Words("まとまり", "clusters"),
    "compared": Words("比べた組", "pairs compared"),
}
# Figures of the synthesis and of the images, with what they mean; those in SHARES are shown in per cent.
FIGURE_WORDS: dict[str, tuple[Words, Words]] = {
    "samples": (Words("依頼", "Requests"), Words("作った依頼の数", "how many were made")),
    "contradictions": (
        Words("矛盾", "Contradictions"),
        Words("同じ依頼と区分に二つの正解", "two labels for one request and levels"),
    ),
    "unique_queries": (
        Words("重ならない依頼", "Distinct requests"),
        Words("表記をそろえても異なるものの割合", "share that differ with spelling folded"),
    ),
    "unique_skeletons": (
        Words("骨組み", "Skeletons"),
        Words("数、日付、名前を伏せても異なるもの", "that differ with numbers, dates and names masked"),
    ),
    "bayes_ceiling": (
        Words("文面だけの上限", "Ceiling of the words"),
        Words("区分を見ずに文面だけで当てられる上限", "best accuracy from the words alone, levels unseen"),
    ),
    "level_accuracy": (
        Words("区分だけの上限", "Ceiling of the levels"),
        Words("二つの区分だけで当てられる上限", "best accuracy from the two levels alone"),
    ),
    "pair_rows": (
        Words("組の依頼", "Requests in sets"),
        Words("一か所だけ違う依頼の組に入るもの", "in sets that differ in one place"),
    ),
    "pair_level_accuracy": (
        Words("組での区分だけの上限", "Ceiling of the levels in sets"),
        Words("組の依頼を区分だけで当てられる上限", "best accuracy on the sets from the levels alone"),
    ),
    "pair_ngram_accuracy": (
        Words("組での文字の並び", "Character n-grams in sets"),
        Words("組の依頼を文字の並びだけで当てた正解率", "accuracy on the sets from character n-grams alone"),
    ),
    "pages": (Words("ページ", "Pages"), Words("作った画像の数", "images that were made")),
    "character_error_rate": (
        Words("OCR の文字誤り率", "OCR character error rate"),
        Words("編集距離を正しい文字数で割ったもの", "edit distance over the true length"),
    ),
    "confidence": (
        Words("OCR の確信度", "OCR confidence"),
        Words("OCR 自身が答えた値の平均", "mean of what the OCR says of itself"),
    ),
    "stamps_misread": (
        Words("読み違えた区分印", "Stamps misread"),
        Words("区分印が正しく読めなかったページ", "pages whose level was not read as stamped"),
    ),
    "directions_mistaken": (
        Words("取り違えた組み方向", "Directions mistaken"),
        Words("縦書きと横書きを取り違えたページ", "pages taken for vertical or horizontal wrongly"),
    ),
}
SHARES = frozenset(
    {
        "unique_queries", "bayes_ceiling", "level_accuracy", "pair_level_accuracy", "pair_ngram_accuracy",
        "pair_ngram_accuracy_by_kind", "character_error_rate", "confidence", "by_layout",
    }
)  # fmt: skip
TABLE_WORDS: dict[str, Words] = {
    "families": Words("用途ごとの系列", "Families by split"),
    "kinds": Words("種類", "Kinds"),
    "pair_ngram_accuracy_by_kind": Words("組での文字の並び(種類ごと)", "Character n-grams in sets, by kind"),
    "by_layout": Words("画像の種類ごとの文字誤り率", "Character error rate by kind of image"),
    "decisions": Words("判定", "Decisions"),
    "scenes": Words("場面", "Scenes"),
}
PART_WORDS: dict[str, Words] = {
    **SPLIT_WORDS,
    "horizontal": Words("横書き", "horizontal"),
    "vertical": Words("縦書き", "vertical"),
    "clean": Words("きれいな画像", "clean"),
    "light": Words("軽い汚れ", "light noise"),
    "heavy": Words("強い汚れ", "heavy noise"),
}

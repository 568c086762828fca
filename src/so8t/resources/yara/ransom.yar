// What is left behind when files were encrypted. Words alone, so a newspaper on the subject may fit: hence the limits on
// size and the number of signs.

rule ransom_note_english
{
    meta:
        ja = "身代金を求める英文の書き置きの疑いがあります"
        en = "looks like a ransom note"
        severity = "critical"
    strings:
        $a1 = /\ball (of )?your (important )?(files|documents|data)\b[^.]{0,60}\b(are|were|have been|has been)\b[^.]{0,30}\b(encrypted|locked)/ nocase
        $a2 = /\byour (network|company|files?)[^.]{0,60}\b(has|have) been (encrypted|hacked|compromised|locked)/ nocase
        $b1 = /\bdecrypt(or|ion (key|tool|software|program))\b/ nocase
        $b2 = /\bprivate (decryption )?key\b/ nocase
        $b3 = /\b(bitcoin|btc|monero|xmr)\b/ nocase
        $b4 = /[a-z2-7]{56}\.onion\b/ nocase
        $b5 = /\btor browser\b/ nocase
        $b6 = /\b(publish|leak|sell)\b[^.]{0,60}\b(data|files|documents)/ nocase
        $b7 = /\bdo not (rename|modify|try to (decrypt|recover))/ nocase
        $b8 = /\b(pay|payment|ransom)\b/ nocase
    condition:
        filesize < 64KB and any of ($a*) and 3 of ($b*)
}

rule ransom_note_japanese
{
    meta:
        ja = "身代金を求める書き置きの疑いがあります"
        en = "looks like a ransom note in Japanese"
        severity = "critical"
    strings:
        $a1 = /(ファイル|データ|ネットワーク|サーバー|サーバ)(は|が|を|のすべてが|すべてが)?.{0,120}暗号化(されました|されています|しました|済みです)/
        $b1 = "復号"
        $b2 = "ビットコイン"
        $b3 = "身代金"
        $b4 = /[a-z2-7]{56}\.onion\b/ nocase
        $b5 = /Tor ?ブラウザ/ nocase
        $b6 = /(公開|流出|販売|売却)(します|されます|する)/
        $b7 = /(支払|送金)/
        $b8 = /(期限|時間以内|日以内)/
        $b9 = /(名前|ファイル名|拡張子)を(変更|変え)/
    condition:
        filesize < 64KB and $a1 and 4 of ($b*)
}

rule ransom_note_name
{
    meta:
        ja = "身代金を求める書き置きによくある名前です"
        en = "a name that ransom notes often have"
        severity = "warning"
    condition:
        filesize < 64KB
        and filename matches /^(how[ _-]?to[ _-]?(decrypt|restore|recover)|(!+|_+)?(restore|recover|decrypt|unlock)[ _-](my[ _-]|your[ _-])?files|read[ _-]?me[ _-](to[ _-])?(restore|decrypt|unlock)|your[ _-]files[ _-]are[ _-](encrypted|locked))/
}

// Files that are something else than their name says.

import "math"

rule scrambled_document
{
    meta:
        ja = "文書や画像の名前なのに、中身が暗号のようです(いくつも続けば、身代金の攻撃かもしれません)"
        en = "the name of a document or picture, but scrambled inside (many of them: perhaps ransomware)"
        severity = "warning"
    strings:
        $pdf = "%PDF-" ascii
    condition:
        filesize > 4096 and math.entropy(0, 4096) > 7.7
        and uint32be(0) != 0x504B0304 and uint32be(0) != 0xD0CF11E0
        and (
            extension matches /^\.(docx?|docm|xlsx?|xlsm|pptx?|pptm|od[tsp]|zip|jtd|rtf)$/
            or (extension == ".pdf" and not $pdf in (0..1024))
            or (extension matches /^\.(jpe?g|png|gif|bmp|tiff?)$/
                and uint16be(0) != 0xFFD8 and uint32be(0) != 0x89504E47 and uint32be(0) != 0x47494638
                and uint32be(0) != 0x52494646 and uint16be(0) != 0x424D and uint32be(4) != 0x66747970
                and uint32be(0) != 0x49492A00 and uint32be(0) != 0x4D4D002A)
        )
}

rule program_named_as_document
{
    meta:
        ja = "文書や画像の名前が付いたプログラムです"
        en = "a program with the name of a document or picture"
        severity = "critical"
    condition:
        extension matches /^\.(pdf|docx?|xlsx?|pptx?|txt|csv|rtf|jpe?g|png|gif|bmp|tiff?|html?|xml|json|md|log|mp3|mp4|wav|zip)$/
        and (
            (uint16be(0) == 0x4D5A and filesize > 64 and uint32(0x3C) < filesize - 4 and uint32be(uint32(0x3C)) == 0x50450000)
            or (uint32be(0) == 0x7F454C46 and uint8(4) >= 1 and uint8(4) <= 2)
            or ((uint32be(0) == 0xFEEDFACF or uint32be(0) == 0xCFFAEDFE) and filesize > 4096)
        )
}

rule double_ending
{
    meta:
        ja = "文書に見せかけた、二重の拡張子のプログラムです"
        en = "a program with a second ending that looks like a document's"
        severity = "critical"
    condition:
        filename matches /\.(pdf|docx?|xlsx?|pptx?|txt|csv|rtf|jpe?g|png|gif|html?)[ _]{0,100}\.(exe|scr|com|pif|bat|cmd|vbs|vbe|js|jse|wsf|hta|lnk|ps1|msi|iso)$/
}

rule name_turned_around
{
    meta:
        ja = "名前の向きを変える文字で、種類を隠したファイルです"
        en = "a name that hides its ending with a character that turns the direction"
        severity = "critical"
    condition:
        filename contains "\xe2\x80\xae" or filename contains "\xe2\x80\xad" or filename contains "\xe2\x81\xa6" or filename contains "\xe2\x81\xa7"
}

rule shortcut_calls_shell
{
    meta:
        ja = "シェルを呼ぶショートカットです"
        en = "a shortcut that calls a shell"
        severity = "warning"
    strings:
        $shell = /\b(powershell|pwsh|cmd\.exe|mshta|wscript|cscript|rundll32)\b/ nocase ascii wide
    condition:
        uint32be(0) == 0x4C000000 and uint32be(4) == 0x01140200 and $shell
}

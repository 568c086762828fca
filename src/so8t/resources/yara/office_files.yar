// Office documents and PDF that do something when they are opened.

rule macro_runs_by_itself
{
    meta:
        ja = "開くだけで動き、プログラムを起動するマクロがあります"
        en = "a macro that runs on opening and starts programs"
        severity = "critical"
    strings:
        $auto1 = /\b(Auto_?Open|Auto_?Exec|Auto_?Close|Document_?Open|Document_?Close|Workbook_?Open|Workbook_?Activate)\b/ nocase ascii wide
        $run1 = /WScript[.]Shell/ nocase ascii wide
        $run2 = /Shell[.]Application/ nocase ascii wide
        $run3 = /\bpowershell\b/ nocase ascii wide
        $run4 = /\bcmd(\.exe)?[ \t]+\/c\b/ nocase ascii wide
        $run5 = /MSXML2[.](Server)?XMLHTTP/ nocase ascii wide
        $run6 = /\bURLDownloadToFile/ nocase ascii wide
        $run7 = /\bwinmgmts:/ nocase ascii wide
        $basic = /\b(Sub|Function)[ \t]+[A-Za-z]/ nocase
    condition:
        $auto1 and any of ($run*)
        and (uint32be(0) == 0xD0CF11E0 or filename endswith "vbaproject.bin"
             or (extension matches /^\.(bas|cls|frm|vba|vbs|xml|mht)$/ and $basic))
}

rule macro_in_document
{
    meta:
        ja = "マクロの入った文書です"
        en = "a document with macros"
        severity = "info"
    condition:
        filename endswith "vbaproject.bin" and uint32be(0) == 0xD0CF11E0
}

rule document_fetches_template
{
    meta:
        ja = "開くと外からひな形を取り寄せる文書です"
        en = "a document that fetches its template from elsewhere when opened"
        severity = "critical"
    strings:
        $type = "/attachedTemplate" ascii
        $target = /Target[ \t]{0,2}=[ \t]{0,2}"(https?|ftp|file:\/\/\/?\\\\|\\\\)[^"]{1,300}"/ nocase
        $outside = /TargetMode[ \t]{0,2}=[ \t]{0,2}"External"/ nocase
    condition:
        extension == ".rels" and all of them
}

rule document_dde
{
    meta:
        ja = "開くとプログラムを呼ぶ欄(DDE)のある文書です"
        en = "a document with a field (DDE) that calls a program"
        severity = "critical"
    strings:
        $auto = /\bDDE(AUTO)?[ \t"]{1,6}(c:\\{1,4}windows|cmd|powershell|mshta|rundll32)/ nocase
    condition:
        $auto and (extension == ".xml" or extension == ".csv" or uint32be(0) == 0xD0CF11E0 or uint32be(0) == 0x7B5C7274)
}

rule csv_calls_program
{
    meta:
        ja = "表計算で開くとプログラムを呼ぶ CSV です"
        en = "a CSV that calls a program when a spreadsheet opens it"
        severity = "critical"
    strings:
        $cell = /(^|[,;\t\n"])[=+@-][^,\r\n]{0,40}\b(cmd|powershell|mshta|rundll32|msexcel)(\.exe)?['"]?\|/ nocase
    condition:
        $cell and extension matches /^\.(csv|tsv)$/
}

rule pdf_starts_program
{
    meta:
        ja = "開くとプログラムかスクリプトを動かす PDF です"
        en = "a PDF that runs a program or script when opened"
        severity = "warning"
    strings:
        $open1 = "/OpenAction" ascii
        $open2 = /\/AA[ \t\r\n]{0,4}<</
        $launch = /\/S[ \t\r\n]{0,4}\/Launch\b/
        $script = /\/S[ \t\r\n]{0,4}\/JavaScript\b/
        $shell = /\b(cmd(\.exe)?|powershell(\.exe)?|app\.launchURL|this\.exportDataObject)\b/ nocase
    condition:
        uint32be(0) == 0x25504446 and ($launch or (any of ($open*) and $script and $shell))
}

rule rtf_embedded_object
{
    meta:
        ja = "開くと自分で更新される埋め込みのある RTF です"
        en = "an RTF whose embedded object updates itself when opened"
        severity = "warning"
    strings:
        $object = "\\objdata" ascii nocase
        $update = "\\objupdate" ascii nocase
    condition:
        uint32be(0) == 0x7B5C7274 and all of them
}

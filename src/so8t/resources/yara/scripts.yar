// Lines with which a break-in goes on: fetch and run, hide, hand the shell to somebody elsewhere.

rule powershell_encoded
{
    meta:
        ja = "中身を符号にして隠した PowerShell の命令です"
        en = "a PowerShell command hidden in base64"
        severity = "critical"
    strings:
        $a = /powershell(\.exe)?["']?([ \t][^\r\n]{0,200})?[ \t][-\/]e(n|nc|nco|ncod|ncode|ncoded|ncodedc|ncodedcommand)?[ \t]+["']?[A-Za-z0-9+\/]{60,}/ nocase ascii wide
    condition:
        $a
}

rule powershell_download_and_run
{
    meta:
        ja = "取り寄せて、そのまま実行する PowerShell です"
        en = "PowerShell that fetches something and runs it"
        severity = "warning"
    strings:
        $a = /\b(ie[x]|invoke-expressio[n])\b[ \t]{0,4}[\(\$&"'][^\r\n]{0,200}(\.download(string|data|file)[ \t]{0,4}\(|invoke-webrequest|invoke-restmethod|\biwr\b)/ nocase ascii wide
        $b = /(\.downloadstring[ \t]{0,4}\(|\biwr\b|invoke-webrequest)[^\r\n]{0,200}\|[ \t]{0,4}(ie[x]|invoke-expressio[n])\b/ nocase ascii wide
    condition:
        any of them
}

rule powershell_hidden
{
    meta:
        ja = "見えない窓で、実行の制限を外して動く PowerShell です"
        en = "PowerShell in a hidden window, past the execution policy"
        severity = "warning"
    strings:
        $call = /powershell(\.exe)?["']?[ \t]/ nocase ascii wide
        $hidden = /[-\/]w(indowstyle)?[ \t]+["']?hidden/ nocase ascii wide
        $bypass = /[-\/](ep|exec|executionpolicy)[ \t]+["']?bypass/ nocase ascii wide
    condition:
        all of them and filesize < 1MB
}

rule windows_tool_fetches
{
    meta:
        ja = "Windows の道具を使って外から取り寄せる命令です"
        en = "a tool of Windows used to fetch from outside"
        severity = "critical"
    strings:
        $certutil = /certutil(\.exe)?["']?[ \t][^\r\n]{0,80}-urlcache[^\r\n]{0,80}https?:\/\// nocase ascii wide
        $bitsadmin = /bitsadmin(\.exe)?["']?[ \t][^\r\n]{0,80}\/transfer[^\r\n]{0,120}https?:\/\// nocase ascii wide
        $mshta = /mshta(\.exe)?["']?[ \t]+["']?(https?:\/\/|vbscript:|javascript:)/ nocase ascii wide
        $regsvr = /regsvr32(\.exe)?["']?[ \t][^\r\n]{0,80}\/i:["']?https?:\/\// nocase ascii wide
    condition:
        any of them
}

rule reverse_shell
{
    meta:
        ja = "シェルをほかの機械に渡す命令(リバースシェル)です"
        en = "a line that hands a shell to another machine (reverse shell)"
        severity = "critical"
    strings:
        $bash = /\b(ba|z|k)?sh[ \t]+-i[ \t]*[0-9]?[>&<]{1,2}[^\r\n]{0,20}\/dev\/(tcp|udp)\/[^\s\/]{1,80}\/[0-9]{1,5}/
        $exec = /exec[ \t]+[0-9]{1,3}<>[ \t]*\/dev\/(tcp|udp)\/[0-9][^\s\/]{1,80}\/[0-9]{1,5}/
        $netcat = /\b(nc|ncat|netcat)(\.exe)?[ \t][^\r\n]{0,60}[ \t]-[a-z]{0,3}[ec][ \t]+["']?(\/bin\/(ba|da|z)?sh\b|cmd(\.exe)?\b|powershell)/ nocase
        $pipe = /mkfifo[ \t]+(\/[^\s;|]{1,60})[ \t]*[;&|][^\r\n]{0,120}\b(nc|ncat|netcat|telnet)[ \t]/
        $python = /socket\.socket\([^\r\n]{0,400}os\.dup2\([^\r\n]{0,400}(\/bin\/(ba)?sh|pty\.spawn)/
    condition:
        any of them
}

rule fetched_into_a_shell
{
    meta:
        ja = "取り寄せたものを、確かめずにシェルに渡す命令です"
        en = "something fetched goes straight into a shell"
        severity = "info"
    strings:
        $a = /\b(curl|wget)[ \t][^\r\n|;]{0,200}https?:\/\/[^\r\n|;]{1,200}\|[ \t]*(sudo[ \t]+)?(\/bin\/)?(ba|da|z)?sh\b/
    condition:
        $a and filesize < 1MB
}

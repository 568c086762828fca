// Pages that run what a request tells them: web shells in PHP, JSP, ASP and ASP.NET.

rule web_shell_php
{
    meta:
        ja = "要求の中身を実行する PHP(ウェブシェル)の疑いがあります"
        en = "PHP that runs what a request says (web shell)"
        severity = "critical"
    strings:
        $tag = "<?" ascii
        $request = /\b(eval|assert|system|exec|shell_exec|passthru|popen|proc_open|create_function)[ \t]{0,4}\([ \t]{0,4}(@[ \t]{0,4})?(stripslashes[ \t]{0,4}\(|trim[ \t]{0,4}\(|base64_decode[ \t]{0,4}\(|gzinflate[ \t]{0,4}\(|str_rot13[ \t]{0,4}\()?[ \t]{0,4}\$_(POST|GET|REQUEST|COOKIE|SERVER)[ \t]{0,4}\[/ nocase
        $packed = /\b(eval|assert)[ \t]{0,4}\([ \t]{0,4}(gzinflate|gzuncompress|str_rot13|base64_decode)[ \t]{0,4}\([ \t]{0,4}(gzinflate|gzuncompress|str_rot13|base64_decode|strrev)[ \t]{0,4}\(/ nocase
        $backtick = /`[ \t]{0,4}\$_(POST|GET|REQUEST|COOKIE)[ \t]{0,4}\[/ nocase
    condition:
        $tag and any of ($request, $packed, $backtick)
}

rule web_shell_jsp
{
    meta:
        ja = "要求の中身を実行する JSP(ウェブシェル)の疑いがあります"
        en = "JSP that runs what a request says (web shell)"
        severity = "critical"
    strings:
        $tag = "<%" ascii
        $run = /Runtime[ \t]{0,4}\.[ \t]{0,4}getRuntime[ \t]{0,4}\([ \t]{0,4}\)[ \t]{0,4}\.[ \t]{0,4}exec[ \t]{0,4}\([ \t]{0,4}(new[ \t]{1,4}String[^;]{0,60})?request[ \t]{0,4}\.[ \t]{0,4}getParameter/
        $builder = /new[ \t]{1,4}ProcessBuilder[ \t]{0,4}\([^;]{0,120}request[ \t]{0,4}\.[ \t]{0,4}getParameter/
    condition:
        $tag and any of ($run, $builder)
}

rule web_shell_asp
{
    meta:
        ja = "要求の中身を実行する ASP(ウェブシェル)の疑いがあります"
        en = "ASP that runs what a request says (web shell)"
        severity = "critical"
    strings:
        $tag = "<%" ascii
        $run = /\b(eval|execute|executeglobal)[ \t]{0,4}\(?[ \t]{0,4}request[ \t]{0,4}(\.[ \t]{0,4}(item|form|querystring)[ \t]{0,4})?[\(\[]/ nocase
        $process = /Process[ \t]{0,4}\.[ \t]{0,4}Start[ \t]{0,4}\([^;]{0,120}Request[ \t]{0,4}[\[\.]/
    condition:
        $tag and any of ($run, $process)
}

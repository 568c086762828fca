// What should not lie in a folder that others can read.

rule private_key
{
    meta:
        ja = "だれでも使える形の秘密鍵があります"
        en = "a private key that nothing protects"
        severity = "warning"
    strings:
        $pem = /-----BEGIN (RSA |EC |DSA |OPENSSH )?PRIVATE KE[Y]-----\r?\n[A-Za-z0-9+\/=\r\n]{40}/
        $putty = /PuTTY-User-Key-Fil[e]-[23]:[^\r\n]{1,80}\r?\nEncryption: none/
    condition:
        filesize < 1MB and any of them
}

rule private_key_encrypted
{
    meta:
        ja = "合い言葉で守られた秘密鍵があります"
        en = "a private key under a passphrase"
        severity = "info"
    strings:
        $pem = /-----BEGIN ENCRYPTED PRIVATE KE[Y]-----\r?\n[A-Za-z0-9+\/=]{40}/
        $old = /-----BEGIN (RSA |EC |DSA )PRIVATE KE[Y]-----\r?\nProc-Type: 4,ENCRYPTED/
        $putty = /PuTTY-User-Key-Fil[e]-[23]:[^\r\n]{1,80}\r?\nEncryption: aes/
    condition:
        filesize < 1MB and any of them
}

rule key_store
{
    meta:
        ja = "鍵の入れ物(PKCS#12)があります"
        en = "a key store (PKCS#12)"
        severity = "info"
    condition:
        extension matches /^\.(p12|pfx)$/ and uint8(0) == 0x30 and filesize < 1MB
}

rule cloud_access_key
{
    meta:
        ja = "クラウドの接続鍵があります"
        en = "access keys of a cloud service"
        severity = "warning"
    strings:
        $id = /\b(AKIA|ASIA)[A-Z2-7]{16}\b/
        $secret = /(aws_?secret(_access)?_?key|secretaccesskey)["']?[ \t]{0,4}[=:][ \t]{0,4}["']?[A-Za-z0-9+\/]{40}\b/ nocase
        $azure = /AccountKey=[A-Za-z0-9+\/]{86}==/
        $google = /"private_key"[ \t]{0,4}:[ \t]{0,4}"-----BEGIN PRIVATE KE[Y]-----\\n/
    condition:
        filesize < 4MB and (($id and $secret) or $azure or $google)
}

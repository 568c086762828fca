// Programs and settings that calculate coins on somebody else's electricity.

rule miner_pool_address
{
    meta:
        ja = "暗号資産の採掘の接続先があります"
        en = "the address of a mining pool"
        severity = "critical"
    strings:
        $a = /\bstratum\+(tcp|ssl|tls|udp):\/\/[A-Za-z0-9.\[\]:-]{4,}/ nocase ascii wide
    condition:
        $a
}

rule miner_settings
{
    meta:
        ja = "暗号資産の採掘プログラムの設定です"
        en = "settings of a mining program"
        severity = "critical"
    strings:
        $a = /"donate-leve[l]"[ \t]{0,4}:/
        $b = /"pool[s]"[ \t\r\n]{0,8}:[ \t\r\n]{0,8}\[/
        $c = /"(randomx|cryptonight|rx\/0|argon2-chukwa)"/
    condition:
        filesize < 1MB and 2 of them
}

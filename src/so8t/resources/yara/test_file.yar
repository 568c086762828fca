// The harmless test file of the anti-virus industry (EICAR), to see that the monitor is awake. Written with character
// classes, here as in the other files, so that no rule finds itself or alarms another scanner.

rule eicar_test_file
{
    meta:
        ja = "ウイルス対策ソフトの試験用ファイル(EICAR)です"
        en = "the EICAR test file for anti-virus software"
        severity = "critical"
    strings:
        $a = /X5O!P%@AP\[4\\PZX54\(P\^\)7CC\)7}\$EICAR-STANDARD-ANTIVIRUS-TEST-FIL[E]!\$H\+H\*/
    condition:
        $a in (0..1024)
}

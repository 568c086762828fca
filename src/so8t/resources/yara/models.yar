// Models are data. What comes under a model's name and is something else, or runs code when loaded, is told.

rule gguf_without_magic
{
    meta:
        ja = "GGUF という名前なのに、中身が GGUF ではありません"
        en = "named .gguf, but not GGUF inside"
        severity = "warning"
    condition:
        extension == ".gguf" and filesize > 0 and (filesize < 4 or uint32be(0) != 0x47475546)
}

rule safetensors_without_header
{
    meta:
        ja = "safetensors という名前なのに、中身が safetensors ではありません"
        en = "named .safetensors, but not safetensors inside"
        severity = "warning"
    condition:
        extension == ".safetensors" and filesize > 8
        and (uint32(4) != 0 or uint32(0) > 100000000 or uint8(8) != 0x7B)
}

rule pickle_runs_code
{
    meta:
        ja = "読み込むだけでプログラムを動かす pickle です"
        en = "a pickle that runs programs when loaded"
        severity = "critical"
    strings:
        // GLOBAL as text, and STACK_GLOBAL's two short strings before it.
        $g1 = /c(os|posix|nt)\n(system|popen|execv?p?e?|spawn[vl]p?e?)\n/
        $g2 = /c(subprocess)\n(Popen|run|call|check_output|check_call|getoutput)\n/
        $g3 = /c(builtins|__builtin__)\n(eval|exec|compile|__import__|getattr|open)\n/
        $g4 = /c(pty|commands|runpy|importlib|code|socket|shutil|webbrowser)\n[a-z_]{2,20}\n/
        $s1 = /\x8c.(os|posix|nt|subprocess|builtins|pty|runpy|importlib|socket|shutil)(\x94)?\x8c.(system|popen|Popen|run|call|check_output|check_call|getoutput|eval|exec|compile|__import__|getattr|spawn|run_module|import_module|rmtree|create_connection)(\x94)?\x93/s
    condition:
        (uint8(0) == 0x80 or extension matches /^\.(pkl|pickle|pt|pth|ckpt|bin|joblib|dat|model)$/)
        and any of them
}

rule pickle_among_models
{
    meta:
        ja = "pickle 形式のモデルです(読み込むとプログラムを動かせます)"
        en = "a model as a pickle (which can run programs when loaded)"
        severity = "info"
    condition:
        extension matches /^\.(pkl|pickle|pt|pth|ckpt|joblib)$/
        and uint8(0) == 0x80 and uint8(1) >= 2 and uint8(1) <= 5
}

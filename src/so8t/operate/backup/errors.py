"""What can be wrong with a backup file or the way to it."""

from __future__ import annotations

from so8t.core.errors import DataError, ResourceError, UsageError


class BackupBroken(DataError):
    """Damaged, cut, reordered, or made by somebody who wanted it to do harm."""

    code = "D20"
    ja, en = "控えが壊れているか、書き換えられています", "the backup is damaged or was changed"
    next_ja, next_en = "使わずに、別の控えで確かめてください", "do not use it; check another backup"


class BackupKeyWrong(DataError):
    """Nothing is said about which part of a key or passphrase is wrong."""

    code = "D21"
    ja, en = "この控えは、その鍵または合言葉では開きません", "this key or passphrase does not open the backup"
    next_ja = "控えを作ったときの鍵(--private-key)か合言葉(--passphrase-file)を渡してください"
    next_en = "pass the key (--private-key) or passphrase (--passphrase-file) it was made for"


class AlreadyThere(UsageError):
    """A backup never overwrites anything, neither when made nor when restored."""

    code = "U20"
    ja, en = "そこにはもう何かがあります", "something is there already"
    next_ja, next_en = "別の名前を指定してください", "choose another name"


class BackupUnwritable(ResourceError):
    """The system refused a file or folder of ours, other than for want of room."""

    code = "S20"
    ja, en = "控えか、その置き場を読み書きできません", "the backup or its place cannot be read or written"
    next_ja = "権限を確かめ、サーバーと同じ利用者で動かしてください"
    next_en = "check the permissions, and run as the server's own user"

"""What the ledger's kinds and events are called on a page. A new one is shown by its own name until it stands here."""

from __future__ import annotations

from so8t.report.figures import Words

KIND_WORDS = {
    "open": Words("開設", "opened"),
    "decision": Words("判定", "decision"),
    "answer": Words("応答", "answer"),
    "review": Words("承認", "review"),
    "policy": Words("方針", "policy"),
    "bundle": Words("束", "bundle"),
    "access": Words("出入り", "access"),
    "error": Words("エラー", "error"),
    "note": Words("覚え", "note"),
}
EVENT_WORDS = {
    "session_opened": Words("ログイン", "logged in"),
    "session_closed": Words("ログアウト", "logged out"),
    "sessions_closed": Words("すべてログアウト", "logged out everywhere"),
    "user_added": Words("利用者を追加", "user added"),
    "user_changed": Words("利用者を変更", "user changed"),
    "user_disabled": Words("利用者を停止", "user disabled"),
    "user_enabled": Words("利用者を再開", "user enabled"),
    "password_changed": Words("パスワードを変更", "password changed"),
    "password_rehashed": Words("パスワードを再ハッシュ", "password hashed anew"),
    "key_issued": Words("API キーを発行", "API key issued"),
    "key_revoked": Words("API キーを失効", "API key revoked"),
    "login_refused": Words("ログインを拒否", "login refused"),
    "key_refused": Words("API キーを拒否", "API key refused"),
    "oidc_refused": Words("社内認証を拒否", "company login refused"),
    "proxy_header_refused": Words("プロキシのヘッダを拒否", "proxy header refused"),
    "locked": Words("一時的に締め出し", "locked for a while"),
    "text_read": Words("本文を読んだ", "text read"),
    "seen": Words("画像を読ませた", "image looked through"),
    "heard": Words("録音を聞かせた", "recording listened to"),
    "image_read": Words("画像を見た", "image looked at"),
    "loaded": Words("読み込み", "loaded"),
    "changed": Words("変更", "changed"),
    "refused": Words("変更を拒否", "change refused"),
    "serving": Words("起動", "serving"),
    "vote": Words("判断", "vote"),
    "assigned": Words("引き継ぎ先を変更", "handed on"),
    "expired": Words("期限切れ", "expired"),
    "answered": Words("答えを記録", "answer recorded"),
    "embedded": Words("埋め込みを計算", "embedded"),
}

"""All settings, read from the environment. Every name read here is explained in docs/operating.md (a test checks it)."""

import os
import sys
from datetime import timedelta
from pathlib import Path

from config import cors, env, keyfiles, mail
from config.unfold import UNFOLD as UNFOLD  # noqa: PLC0414 - a setting

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("DATA_DIR", str(BASE_DIR / "data"))).resolve()
DATA_DIR.mkdir(parents=True, exist_ok=True)

DEBUG = env.flag("DEBUG")
PRODUCTION = env.flag("PRODUCTION")
SECRET_KEY = env.text("SECRET_KEY") or keyfiles.stored(DATA_DIR, "secret_key")
ENCRYPTION_KEYS = env.words("ENCRYPTION_KEYS") or [keyfiles.stored(DATA_DIR, "encryption_key")]
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
PUBLIC_BASE_URL = env.url("PUBLIC_BASE_URL", "http", "https").rstrip("/")
TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES")
CSRF_TRUSTED_ORIGINS = [PUBLIC_BASE_URL] if PUBLIC_BASE_URL else []
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_BASE_URL.startswith("https://")
ALLOW_PRIVATE_ADDRESSES = env.words("ALLOW_PRIVATE_ADDRESSES")

DATABASES = {"default": env.database(env.text("DATABASE_URL"), DATA_DIR)}
REDIS_URL = env.url("REDIS_URL", "redis", "rediss", "unix")
CACHES = {
    "default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": REDIS_URL, "KEY_PREFIX": "sb:cache"}
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}
CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [REDIS_URL], "prefix": "sb:channels"}}
    if REDIS_URL
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}
EMBEDDED_WORKER = env.flag("EMBEDDED_WORKER", not REDIS_URL)
CELERY_BROKER_URL = env.text("CELERY_BROKER_URL") or REDIS_URL or "memory://localhost/"
CELERY_BROKER_TRANSPORT_OPTIONS = env.broker_options(CELERY_BROKER_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_DEFAULT_QUEUE = "switchboard"
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_CONCURRENCY = max(1, env.integer("WORKER_THREADS", 16))
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = CELERY_BROKER_URL.startswith("redis")
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_BEAT_SCHEDULER = "tasks.beat:Scheduler"
CELERY_BEAT_SCHEDULE = {"schedules": {"task": "tasks.tick", "schedule": 1.0}}
WORKER_SHUTDOWN_SECONDS = env.duration("WORKER_SHUTDOWN_SECONDS", 30)

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "config.adminapp.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "corsheaders",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "channels",
    "config",
    "agents",
    "chat",
    "billing",
    "tasks",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-us"
TIME_ZONE = env.text("TIME_ZONE", "UTC")
USE_TZ = True
FORMAT_MODULE_PATH = "config.formats"
LOGIN_REDIRECT_URL = "admin:index"
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
MEDIA_ROOT = DATA_DIR / "uploads"
APPEND_SLASH = False
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440

CHAT_MAX_REQUEST_SIZE = env.size("CHAT_MAX_REQUEST_SIZE", 1_048_576)
CHAT_MAX_IMAGE_REQUEST_SIZE = env.size("CHAT_MAX_IMAGE_REQUEST_SIZE", 10 * 1_048_576)
CHAT_COMMIT_SECONDS = env.duration("CHAT_COMMIT_SECONDS", 12)
CHAT_REQUEST_TIMEOUT = env.duration("CHAT_REQUEST_TIMEOUT", 300)
CHAT_MAX_JSON_DEPTH = env.integer("CHAT_MAX_JSON_DEPTH", 64)
CHAT_MAX_MESSAGES = env.integer("CHAT_MAX_MESSAGES", 2000)
CHAT_MAX_MESSAGE_CHARS = env.integer("CHAT_MAX_MESSAGE_CHARS", 200_000)
CHAT_KEEPALIVE_SECONDS = env.duration("CHAT_KEEPALIVE_SECONDS", 15)
CHAT_RESUME_SECONDS = env.duration("CHAT_RESUME_SECONDS", 600)
CHAT_EVENTLOG_BYTES = env.size("CHAT_EVENTLOG_BYTES", 64 * 1_048_576)
CHAT_HISTORY_CACHE_BYTES = env.size("CHAT_HISTORY_CACHE_BYTES", 64 * 1_048_576)
CHAT_MAX_STEPS = env.integer("CHAT_MAX_STEPS", 20)
CHAT_RATE_RPM = env.integer("CHAT_RATE_RPM", 500)
CHAT_RATE_TPM = env.integer("CHAT_RATE_TPM", 60_000)
CHAT_AGENT = env.text("CHAT_AGENT")
CHAT_AGENTS = env.words("CHAT_AGENTS")
CHAT_ANONYMOUS = False
CHAT_WIRE_ONLY = False
CHAT_API_KEY = env.text("CHAT_API_KEY") or (os.environ.get(env.text("CHAT_API_KEY_ENV"), "") if env.text("CHAT_API_KEY_ENV") else "")
CHAT_CORS_ORIGIN = env.text("CHAT_CORS_ORIGIN")
CORS = cors.from_environment(CHAT_CORS_ORIGIN)
globals().update(CORS)
WIRE_MIDDLEWARE = [cors.MIDDLEWARE] if CORS else []
MIDDLEWARE = [*WIRE_MIDDLEWARE, *MIDDLEWARE]
CHAT_CONVERSATIONS_MAX = max(0, env.integer("CHAT_CONVERSATIONS_MAX", 10_000))
CHAT_CONVERSATION_TTL = env.duration("CHAT_CONVERSATION_TTL", 1800)
CHAT_MAX_IDLE_RUNTIMES = max(0, env.integer("CHAT_MAX_IDLE_RUNTIMES", 4))
CHAT_UNKNOWN_MODEL = env.text("CHAT_UNKNOWN_MODEL", "strict")
CHAT_DEFAULT_AGENT = env.text("CHAT_DEFAULT_AGENT")
CHAT_OWNED_BY = env.text("CHAT_OWNED_BY", "switchboard")
CONVERSATION_BUSY = env.text("CONVERSATION_BUSY", "policy")
RUN_CACHE_TTL = env.duration("RUN_CACHE_TTL", 3600)
PUBLIC_SESSION_TTL = env.duration("PUBLIC_SESSION_TTL", 30 * 86_400)
APPROVAL_SECONDS = env.duration("APPROVAL_SECONDS", 86_400)
PROVIDER_CIRCUIT_FAILURES = env.integer("PROVIDER_CIRCUIT_FAILURES", 5)
PROVIDER_CIRCUIT_SECONDS = env.duration("PROVIDER_CIRCUIT_SECONDS", 30)
UPLOAD_MAX_BYTES = env.size("UPLOAD_MAX_BYTES", 32 * 1_048_576)
UPLOAD_MAX_TEXT_BYTES = env.size("UPLOAD_MAX_TEXT_BYTES", 10 * 1_048_576)
EMAIL = mail.settings_of(env.text("EMAIL_URL"), production=PRODUCTION)
globals().update(EMAIL)
DEFAULT_FROM_EMAIL = env.text("EMAIL_FROM", "Switchboard <switchboard@localhost>")
METRICS_TOKEN = env.text("METRICS_TOKEN")
LOG_LEVEL = env.text("LOG_LEVEL", "INFO").upper()
LOG_FORMAT = env.text("LOG_FORMAT", "console" if sys.stderr.isatty() else "json")
SHUTDOWN_SECONDS = env.duration("SHUTDOWN_SECONDS", 5)
REMOTE_FILE_HOSTS = env.words("REMOTE_FILE_HOSTS")
WS_ORIGINS = cors.from_environment(env.text("WS_ALLOWED_ORIGINS"), "WS_ALLOWED_ORIGINS") or CORS
WS_MAX_FRAME_BYTES = env.size("WS_MAX_FRAME_BYTES", 1_000_000)
WS_FRAMES_PER_10S = env.integer("WS_FRAMES_PER_10S", 60)
WS_MAX_PER_PRINCIPAL = env.integer("WS_MAX_PER_PRINCIPAL", 100)
WS_MAX_PER_ADDRESS = env.integer("WS_MAX_PER_ADDRESS", 500)
WS_MAX_UNSENT_FRAMES = env.integer("WS_MAX_UNSENT_FRAMES", 1000)
WS_MAX_UNSENT_BYTES = env.size("WS_MAX_UNSENT_BYTES", 4 * 1_048_576)
WS_CLIENT_TOOL_SECONDS = env.duration("WS_CLIENT_TOOL_SECONDS", 60)
TURN_GATES = ["chat.gates.RateGate", "billing.gates.PriceGate"]

SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(seconds=env.duration("JWT_ACCESS_LIFETIME", 3600)),
    "REFRESH_TOKEN_LIFETIME": timedelta(seconds=env.duration("JWT_REFRESH_LIFETIME", 7 * 86_400)),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    "SIGNING_KEY": SECRET_KEY,
}
REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "config.autoschema.Described",
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Switchboard",
    "DESCRIPTION": "One agent, every wire. Sign in at /api/token, or send an API key: `Authorization: Bearer sk-…`.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.1",
    "SERVERS": [{"url": PUBLIC_BASE_URL}] if PUBLIC_BASE_URL else [],
    "SECURITY": [{"bearer": []}],
    "APPEND_COMPONENTS": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "An API key or a JWT."}}},
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "config.schema.complete"],
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {
        "deepLinking": True,
        "persistAuthorization": True,
        "displayRequestDuration": True,
        "defaultModelsExpandDepth": 0,
    },
}
LOGGING_CONFIG = "config.logs.configure"
LOGGING = {"level": LOG_LEVEL, "format": LOG_FORMAT}
TESTING = "pytest" in sys.modules

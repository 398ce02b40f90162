"""The chat page of people who sign in: the page itself, signing in and out, and its short-lived token.

These are Django's own pages: session cookie, CSRF. With the token the page speaks the public wires like any other client (WS-71).
"""

from datetime import timedelta

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_POST, require_safe
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken

from agents import throttle
from agents.errors import SwitchboardError
from agents.models import UserProfile
from chat import rendering
from chat.peers import address_of, headers_of
from chat.protocols.page.policy import guarded

LONGEST_TOKEN = timedelta(minutes=15)
SIGN_IN = "/login"


@require_safe
@never_cache
@guarded
@ensure_csrf_cookie
def chat(request: HttpRequest) -> HttpResponseBase:
    """The page; whoever is not signed in is asked to, and led back."""
    if not request.user.is_authenticated:
        return HttpResponseRedirect(f"{SIGN_IN}?{urlencode({'next': request.get_full_path()})}")
    rendering.warm()
    return render(request, "chat/chat.html", {"person": request.user, "most_bytes": settings.UPLOAD_MAX_BYTES})


@require_POST
@never_cache
def token(request: HttpRequest) -> HttpResponse:
    """An access token of the signed-in user; the page keeps it in memory and asks again before it ends."""
    if not request.user.is_authenticated:
        return JsonResponse({"detail": "Sign in again.", "code": "invalid_credentials"}, status=401)
    lifetime = min(LONGEST_TOKEN, api_settings.ACCESS_TOKEN_LIFETIME)
    made = AccessToken()
    made.set_exp(lifetime=lifetime)
    made[api_settings.USER_ID_CLAIM] = str(request.user.pk)
    made["gen"] = UserProfile.objects.filter(user_id=request.user.pk).values_list("token_generation", flat=True).first() or 0
    return JsonResponse({"access": str(made), "expires_in": int(lifetime.total_seconds())})


@method_decorator(guarded, name="dispatch")
class SignInView(LoginView):
    """Failures count for their address, as they do at /api/token (R1.8)."""

    template_name = "chat/login.html"
    next_page = "/"
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: str, **kwargs: str) -> HttpResponse:
        if async_to_sync(throttle.blocked)(_address(request)):
            return self._too_often()
        return super().post(request, *args, **kwargs)

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        try:
            async_to_sync(throttle.failed)(_address(self.request))
        except SwitchboardError:
            return self._too_often()
        return super().form_invalid(form)

    def _too_often(self) -> HttpResponse:
        wait_s = str(throttle.refusal().retry_after_s)
        form = self.get_form_class()(self.request)
        context = self.get_context_data(form=form, problem="Too many attempts. Try again in a minute.")
        return self.render_to_response(context, status=429, headers={"Retry-After": wait_s})


sign_in = SignInView.as_view()
sign_out = LogoutView.as_view(next_page=SIGN_IN)


def _address(request: HttpRequest) -> str:
    """R1.9."""
    scope = request.scope  # type: ignore[attr-defined]  # an ASGIRequest
    return address_of(scope, headers_of(scope["headers"]))

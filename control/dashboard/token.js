// The operator's token, where the control plane wants one: kept for this tab only, sent as a
// header, never in an address.

const KEY = "cutover-token";
let token = stored();

/** Headers for a request, with the token if there is one. */
export function authorized(headers) {
  return token ? { ...headers, authorization: `Bearer ${token}` } : headers;
}

/** Makes the form keep the token that is typed into it; `given` is called after that. */
export function bindToken(form, given) {
  const input = form.querySelector("input");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    token = input.value.trim();
    input.value = "";
    try {
      sessionStorage.setItem(KEY, token);
    } catch {
      // Forbidden storage: the token lasts until the page is closed.
    }
    given();
  });
}

function stored() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

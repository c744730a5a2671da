// Pages of text: choosing a language loads the page again in it.
const menu = document.getElementById("language");

menu.addEventListener("change", () => {
  const address = new URL(window.location.href);
  address.searchParams.set("lang", menu.value);
  // The sign-in page is also shown at addresses that only take a form: there the first page asks again.
  if (address.pathname === "/login") address.pathname = "/";
  window.location.assign(address);
});

// Sets formulas with the copy of MathJax that lies beside this file, on pages that have any.
(() => {
  const here = document.currentScript.src;
  for (const entry of document.querySelectorAll(".md-nav .md-ellipsis")) {
    entry.textContent = entry.textContent.replace(/\\\((.*?)\\\)/g, "$1"); // menus show a heading's formula as plain text
  }
  if (!document.querySelector(".arithmatex")) return;
  window.MathJax = {
    tex: { inlineMath: [["\\(", "\\)"]], displayMath: [["\\[", "\\]"]], processEscapes: true },
    options: { ignoreHtmlClass: ".*", processHtmlClass: "arithmatex", enableMenu: false },
    startup: {
      pageReady: async () => {
        await MathJax.startup.defaultPageReady();
        document.documentElement.dataset.formulas = "set";
      },
    },
  };
  const script = document.createElement("script");
  script.src = new URL("mathjax/tex-chtml-full.js", here).href;
  document.head.append(script);
})();

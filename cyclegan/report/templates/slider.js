(() => {
  "use strict";
  const slider = document.getElementById("epoch");
  if (!slider) return;
  const images = document.querySelectorAll("#images img");
  const label = document.getElementById("epoch-label");
  const play = document.getElementById("play");
  let timer = 0;

  const show = () => {
    images.forEach((image, place) => { image.hidden = place !== Number(slider.value); });
    label.textContent = "epoch " + images[slider.value].dataset.epoch;
    slider.setAttribute("aria-valuetext", label.textContent);
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = "▶";
    play.setAttribute("aria-pressed", "false");
  };
  const step = () => {
    slider.value = Number(slider.value) + 1;
    show();
    if (slider.value === slider.max) stop();
  };

  slider.addEventListener("input", () => { stop(); show(); });
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (slider.value === slider.max) slider.value = 0;
    show();
    timer = setInterval(step, 500);
    play.textContent = "❚❚";
    play.setAttribute("aria-pressed", "true");
  });
  play.disabled = images.length < 2;
  show(); // a browser that goes back to the page may have kept the slider's place
})();
